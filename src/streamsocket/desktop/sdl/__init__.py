"""The window, the speaker and the microphone, on SDL 2.

SDL is loaded when the first of them is opened, not on import.
"""

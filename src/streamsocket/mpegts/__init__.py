"""MPEG transport streams (ISO/IEC 13818-1): from bytes to access units, without I/O."""

"""Who may publish and who may watch: users, their passwords, and what they are allowed."""

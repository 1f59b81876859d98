"""Where the program meets the system: files, signals, messages; it imports nothing of crossent but its errors."""

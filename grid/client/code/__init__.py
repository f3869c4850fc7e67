"""What travels of a program with its calls: functions, and the modules that they need."""

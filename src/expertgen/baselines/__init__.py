"""What a user would try instead of steering, behind the same interface and on the same budget."""

"""How the quality, diversity and complexity of data shape what models learn."""

"""Database scripts: the migrations."""

"""Where state is kept: engines are picked by the scheme of their URL."""

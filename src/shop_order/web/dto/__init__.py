"""What REST callers send and get; the same models make the OpenAPI document."""

"""The WeChat Pay simulator: API v3, with real signatures, encrypted notices and pages for the buyer."""

"""A simulator of the Alipay gateway: it verifies our signatures strictly and sends really signed notices."""

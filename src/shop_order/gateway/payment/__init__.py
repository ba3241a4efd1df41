"""Payment providers, one module each; what they have in common is `domain.ports.PaymentChannel`."""

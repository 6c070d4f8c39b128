"""Networks: frozen encoders, published systems and the layers they share. Nothing here reads files or videos."""

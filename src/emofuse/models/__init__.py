"""Networks: audio encoders, conditioning, fusion."""

"""MRNet: maskable retentive network for moment retrieval by text or speech (ACM MM 2024, 10.1145/3664647.3680746)."""

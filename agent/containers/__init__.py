"""The containers that the engine knows: what each is, which topic it has, and what its subscribers were told."""

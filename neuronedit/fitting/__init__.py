"""Populations in, model out, without Ray and without storage."""

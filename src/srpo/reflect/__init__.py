"""Stage 1a: reflection data, from first attempts to verified and selected traces."""

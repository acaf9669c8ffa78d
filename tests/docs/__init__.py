"""What README and docs show is so: commands run, links lead somewhere, the pages build."""

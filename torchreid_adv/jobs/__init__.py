"""Jobs: chunk plan, atomic files, manifest, progress. Knows ids and bytes, no model, no attack."""

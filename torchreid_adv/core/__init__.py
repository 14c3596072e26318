"""The ground floor: what other rooms stand on; it knows neither torchreid nor a model."""

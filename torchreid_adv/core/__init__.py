"""The base of all other rooms. It knows neither torchreid nor models."""

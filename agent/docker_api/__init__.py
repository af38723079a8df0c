"""The engine's HTTP API below `engine.py`: calls that are bounded and can be ended, and what the answers mean."""

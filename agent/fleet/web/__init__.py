"""The web page of `usage-agent web`. Start reading at `command.py`. Only that command imports Starlette and uvicorn."""

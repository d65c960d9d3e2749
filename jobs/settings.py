"""Where the service keeps things and listens, from the environment and `.env`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings, each an environment variable with the prefix BABYLM_."""

    model_config = SettingsConfigDict(env_prefix="BABYLM_", env_file=".env", extra="ignore")

    data_dir: Path = Field(default=Path("data"), description="Corpora, a folder each.")
    runs_dir: Path = Field(default=Path("runs"), description="Everything that the service writes.")
    database_url: str | None = Field(default=None, description="null: SQLite in the runs folder.")
    redis_url: str | None = Field(default=None, description="null: embedded, or polling.")
    api_key: str | None = Field(default=None, description="One key or several, comma-separated.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on.")

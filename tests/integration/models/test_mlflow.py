"""Models of MLflow, by its own client: what is registered there is pushed, what is not is told."""

import sys

import pytest
from tests.unit.models.files import JSON, safetensors

from suanli.domain.errors import NotFound, Unavailable, UsageError
from suanli.models.source import open_source


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """`gpt` with version 1, which is its `prod`, in a registry of MLflow in a folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_bytes(JSON)
    (folder / "model.safetensors").write_bytes(safetensors())
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), artifact_path="model")
    client = mlflow.MlflowClient()
    client.create_registered_model("gpt")
    made = client.create_model_version("gpt", source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id)
    client.set_registered_model_alias("gpt", "prod", made.version)


@pytest.mark.parametrize("address", ["models:/gpt/1", "models:/gpt@prod"])
def test_what_is_registered_is_read(registered, address):
    with open_source(address) as source:
        assert [file.path for file in source.files] == ["config.json", "model.safetensors"]
        assert source.task == "text-classification"
        with source.files[1].open() as opened:
            assert opened.read() == safetensors()


def test_what_is_not_registered_is_told(registered, monkeypatch):
    for address in ("models:/gpt/7", "models:/none@prod"):
        with pytest.raises(NotFound, match=f"MLflow does not give {address}"), open_source(address):
            pass
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match="MLflow does not give models:/gpt/1"), open_source("models:/gpt/1"):
        pass


def test_without_its_client_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow.artifacts", None)
    with pytest.raises(UsageError) as refused, open_source("models:/chat/3"):
        pass
    assert refused.value.code == "SL-MODEL-MLFLOW"
    assert "pip install mlflow-skinny" in refused.value.remedy

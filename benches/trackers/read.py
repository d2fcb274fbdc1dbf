"""Prints what TensorBoard's own reader and an MLflow server hold of a study, as JSON.

    read.py tensorboard FOLDER
    read.py mlflow ADDRESS EXPERIMENT

Each series is a list of [step, value, seconds since the Unix epoch].
"""

import json
import sys


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # 0 keeps every point.
    events = EventAccumulator(folder, size_guidance={"scalars": 0, "tensors": 0}, purge_orphaned_data=True)
    events.Reload()
    tags = events.Tags()
    scalars = {
        tag: [[point.step, point.value, point.wall_time] for point in events.Scalars(tag)]
        for tag in tags["scalars"]
    }
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    return {"runs": [{"name": folder, "status": "", "series": scalars, "texts": texts}]}


def mlflow(address, experiment):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=address)
    found = client.get_experiment_by_name(experiment)
    runs = []
    for run in client.search_runs([found.experiment_id]) if found else []:
        history = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        series = {
            key: [[point.step, point.value, point.timestamp / 1000] for point in points]
            for key, points in history.items()
        }
        runs.append(
            {
                "name": run.info.run_name,
                "id": run.info.run_id,
                "experiment": run.info.experiment_id,
                "status": run.info.status,
                "series": series,
                "texts": dict(run.data.params),
                "tags": dict(run.data.tags),
            }
        )
    return {"runs": runs}


if __name__ == "__main__":
    json.dump({"tensorboard": tensorboard, "mlflow": mlflow}[sys.argv[1]](*sys.argv[2:]), sys.stdout)

"""The suite against the public names of the packages: what is published is used here, or excused by name.

A new release of the SDK that brings new names fails this test until they are used too.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import durabletask
import pytest

# Modules that speak to something else than this server, with the reason.
MODULES_EXCUSED = {
    "durabletask.azuremanaged.preview": "sandboxes are a service of their own (another protocol, in the cloud)",
    "durabletask.extensions.azure_blob_payloads": "stores payloads in Azure; a store of our own takes its place",
    "durabletask.extensions.history_export.azure_blob": "writes to Azure; a writer of our own takes its place",
    "durabletask.testing": "a server in memory, for tests of others",
    "durabletask.internal": "not public",
    "durabletask.azuremanaged.internal": "not public",
}

# Names that no program calls by itself, with the reason.
NAMES_EXCUSED = {
    # What the SDK calls on the objects that programs use.
    "get_entity_name": "called by add_entity",
    "get_name": "called by the registry",
    "new_orchestration_state": "called by the client",
    "new_purge_instances_result": "called by the client",
    "parse_orchestration_state": "called by the client",
    "from_entity_metadata": "called by the client",
    "from_entity_response": "called by the client of an older form",
    "on_child_completed": "called by tasks",
    "complete": "called by the worker",
    "increment_attempt_count": "called by the worker",
    "compute_next_delay": "called by the worker",
    "set_retryable_parent": "called by the worker",
    "set_cancel_handler": "called by the worker",
    "validate_entity_name": "called by EntityInstanceId",
    "validate_key": "called by EntityInstanceId",
    "to_grpc_options": "called by the channel",
    "to_service_config": "called by the channel",
    "to_configuration": "called by create_job",
    "from_state_dict": "called by get_job",
    "effective_runtime_status": "called by the export's orchestrator",
    "assert_valid_transition": "called by the export's entity",
    "is_valid_transition": "called by the entities",
    "build_activities": "called by register_worker",
    "build_list_activity_input": "called by the export's orchestrator",
    "run_export_instance_history": "called by the export's activity",
    "run_list_terminal_instances": "called by the export's activity",
    "from_dict": "called when a job is read",
    "from_state": "called by get_job",
    "content_encoding_for": "called by the export's activity",
    "content_type_for": "called by the export's activity",
    "file_extension_for": "called by the export's activity",
    "event_to_dict": "called by serialize_history",
    "failure_details_to_dict": "called by serialize_history",
    "orchestration_state_to_dict": "called by serialize_history",
    "serialize_history": "called by the export's activity",
    "export_job_orchestrator": "started by the export's entity",
    "execute_schedule_operation_orchestrator": "started by the schedule client",
    "refresh_execution_token": "called by the schedule's entity",
    "from_create_options": "called by the schedule's entity",
    "to_description": "called by the schedule's client",
    "to_dotnet_ordinal": "called when a schedule is written",
    "from_dotnet": "called when a schedule is read",
    "matches_filter": "called by list_schedules",
    "deexternalize_payloads": "called with a payload store",
    "deexternalize_payloads_async": "called with a payload store",
    "externalize_payloads": "called with a payload store",
    "externalize_payloads_async": "called with a payload store",
    # Operations that the SDK's own entities have: reached through their clients.
    **dict.fromkeys(
        ("create_schedule", "update_schedule", "pause_schedule", "resume_schedule", "run_schedule"),
        "an operation of the schedule's entity",
    ),
    **dict.fromkeys(("commit_checkpoint", "mark_completed", "mark_failed"), "an operation of the export's entity"),
    # Left out because they have nothing to do with a server.
    "underlying_client": "gives back what was handed in",
    "entity_name": "a constant of the export",
    "orchestrator_name": "a constant of the export",
}


def public_names() -> dict[str, str]:
    """Every public function, method and property, with one place where it is defined."""
    names: dict[str, str] = {}
    for found in pkgutil.walk_packages(durabletask.__path__, "durabletask.", onerror=lambda _: None):
        if any(found.name == excused or found.name.startswith(f"{excused}.") for excused in MODULES_EXCUSED):
            continue
        if "._" in found.name:
            continue
        module = importlib.import_module(found.name)
        for name, member in vars(module).items():
            if name.startswith("_") or getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(member):
                for attribute, value in vars(member).items():
                    plain = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
                    if not attribute.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
                        names[attribute] = f"{module.__name__}.{name}"
            elif inspect.isfunction(member):
                names[name] = module.__name__
    return names


def public_classes() -> set[str]:
    """What the packages export at the places that their documentation names."""
    exporting = (
        "durabletask", "durabletask.client", "durabletask.worker", "durabletask.entities", "durabletask.payload",
        "durabletask.scheduled", "durabletask.extensions.history_export", "durabletask.grpc_options",
    )  # fmt: skip
    classes = set()
    for name in exporting:
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", vars(module)):
            member = getattr(module, exported)
            if inspect.isclass(member) and member.__module__.startswith("durabletask") and not exported.startswith("_"):
                if not any(member.__module__.startswith(excused) for excused in MODULES_EXCUSED):
                    classes.add(exported)
    return classes


CLASSES_EXCUSED = {
    "CleanEntityStorageResult": "what clean_entity_storage returns",
    "PurgeInstancesResult": "what the purges return",
    "Page": "what list_instance_ids returns",
    "EntityMetadata": "what get_entity returns",
    "EntityLock": "what lock_entities gives",
    "EntityOperationFailedException": "its name is seen in failures",
    "ExportCheckpoint": "within a job",
    "ExportFailure": "within a job",
    "ExportFilter": "made by create_job",
    "ExportJobConfiguration": "made by create_job",
    "ExportJobEntity": "registered by register_worker",
    "ExportJobError": "the base of ExportJobNotFoundError",
    "ExportJobInvalidTransitionError": "raised within the export's entity",
    "ExportJobState": "within the export's entity",
    "HistoryExportContext": "made by register_worker",
    "ScheduleClientValidationError": "raised nowhere in this version",
    "ScheduleError": "the base of ScheduleNotFoundError",
    "ScheduleInvalidTransitionError": "raised within the schedule's entity; clients get its text",
}


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every word of the suite, but for those of this file."""
    here = Path(__file__)
    files = [path for path in here.parent.rglob("*.py") if path != here]
    return {word for path in files for word in re.findall(r"\w+", path.read_text())}


def test_every_public_name_is_used(words: set[str]):
    missing = [
        f"{name} of {place}" for name, place in public_names().items() if name not in words | NAMES_EXCUSED.keys()
    ]
    assert missing == []


def test_every_exported_class_is_used(words: set[str]):
    assert sorted(public_classes() - words - CLASSES_EXCUSED.keys()) == []


def test_every_excuse_is_needed():
    assert NAMES_EXCUSED.keys() <= public_names().keys()
    assert CLASSES_EXCUSED.keys() <= public_classes()


def test_versions_are_the_pinned_ones():
    from importlib.metadata import version

    assert version("durabletask") == version("durabletask.azuremanaged") == "1.12.0"

"""One valid request for every call, and calls with bytes of one's own."""

from __future__ import annotations

import time
from typing import Any

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb
from google.protobuf import empty_pb2

from kit.hub import COMPLETED, RUNNING, SERVICE, STREAMS, TERMINATED, moment, number, text


def valid_requests(id: str = "nobody-knows-this") -> dict[str, Any]:
    """By the names of the calls. Those that change something name an instance that is not there."""
    now = time.time()
    entity = "@nobody@this"
    trace = pb.TraceContext(traceParent=f"00-{'12' * 16}-{'34' * 8}-01", traceState=text("a=b"))
    failure = pb.TaskFailureDetails(errorType="E", errorMessage="m", stackTrace=text("s"))
    failure.properties["p"].number_value = 1
    activity = pb.ScheduleTaskAction(name="act", input=text("1"), version=text("1"), tags={"a": "b"})
    actions = [
        pb.OrchestratorAction(id=1, scheduleTask=activity),
        pb.OrchestratorAction(id=2, createTimer=pb.CreateTimerAction(fireAt=moment(now + 60))),
        pb.OrchestratorAction(id=3, createSubOrchestration=pb.CreateSubOrchestrationAction(name="c", instanceId="c-1")),
    ]
    results = [pb.OperationResult(success=pb.OperationResultSuccess(result=text("1")))]
    policy = pb.OrchestrationIdReusePolicy(replaceableStatus=[COMPLETED, TERMINATED])
    filters = pb.WorkItemFilters(orchestrations=[pb.OrchestrationFilter(name="nothing-at-all", versions=["1"])])
    return {
        "Hello": empty_pb2.Empty(),
        "StartInstance": pb.CreateInstanceRequest(
            instanceId=id, name="nothing-at-all", version=text("1"), input=text("{}"), tags={"a": "b"},
            orchestrationIdReusePolicy=policy, parentTraceContext=trace, requestTime=moment(now),
            scheduledStartTimestamp=moment(now + 3600),
        ),
        "GetInstance": pb.GetInstanceRequest(instanceId=id, getInputsAndOutputs=True),
        "RewindInstance": pb.RewindInstanceRequest(instanceId=id, reason=text("r")),
        "RestartInstance": pb.RestartInstanceRequest(instanceId=id, restartWithNewInstanceId=True),
        "WaitForInstanceStart": pb.GetInstanceRequest(instanceId="@not@waited-for"),
        "WaitForInstanceCompletion": pb.GetInstanceRequest(instanceId="@not@waited-for"),
        "RaiseEvent": pb.RaiseEventRequest(instanceId=id, name="e", input=text("1")),
        "TerminateInstance": pb.TerminateRequest(instanceId=id, output=text("1"), recursive=True),
        "SuspendInstance": pb.SuspendRequest(instanceId=id, reason=text("r")),
        "ResumeInstance": pb.ResumeRequest(instanceId=id, reason=text("r")),
        "QueryInstances": pb.QueryInstancesRequest(
            query=pb.InstanceQuery(
                runtimeStatus=[RUNNING], createdTimeFrom=moment(now - 60), createdTimeTo=moment(now + 60),
                maxInstanceCount=10, instanceIdPrefix=text("a"), fetchInputsAndOutputs=True,
            )
        ),
        "ListInstanceIds": pb.ListInstanceIdsRequest(
            runtimeStatus=[COMPLETED], completedTimeFrom=moment(now - 60), completedTimeTo=moment(now + 60), pageSize=10,
        ),
        "PurgeInstances": pb.PurgeInstancesRequest(instanceId=id, recursive=True),
        "GetWorkItems": pb.GetWorkItemsRequest(maxConcurrentActivityWorkItems=1, workItemFilters=filters),
        "CompleteActivityTask": pb.ActivityResponse(
            instanceId=id, taskId=1, result=text("1"), failureDetails=failure, completionToken="1.1.1"
        ),
        "CompleteOrchestratorTask": pb.OrchestratorResponse(
            instanceId=id, actions=actions, customStatus=text("s"), completionToken="1.1.1", numEventsProcessed=number(1),
            orchestrationTraceContext=pb.OrchestrationTraceContext(spanID=text("1"), spanStartTime=moment(now)),
        ),
        "CompleteEntityTask": pb.EntityBatchResult(results=results, entityState=text("1"), completionToken="1.1.1"),
        "StreamInstanceHistory": pb.StreamInstanceHistoryRequest(instanceId=id, executionId=text("ab" * 16)),
        "CreateTaskHub": pb.CreateTaskHubRequest(),
        "DeleteTaskHub": pb.DeleteTaskHubRequest(),
        "SignalEntity": pb.SignalEntityRequest(
            instanceId=entity, name="op", input=text("1"), scheduledTime=moment(now + 3600), parentTraceContext=trace
        ),
        "GetEntity": pb.GetEntityRequest(instanceId=entity, includeState=True),
        "QueryEntities": pb.QueryEntitiesRequest(
            query=pb.EntityQuery(
                instanceIdStartsWith=text("@nobody"), lastModifiedFrom=moment(now - 60), includeState=True,
                includeTransient=True, pageSize=number(10),
            )
        ),
        "CleanEntityStorage": pb.CleanEntityStorageRequest(removeEmptyEntities=True, releaseOrphanedLocks=True),
        "AbandonTaskActivityWorkItem": pb.AbandonActivityTaskRequest(completionToken="1.1.1"),
        "AbandonTaskOrchestratorWorkItem": pb.AbandonOrchestrationTaskRequest(completionToken="1.1.1"),
        "AbandonTaskEntityWorkItem": pb.AbandonEntityTaskRequest(completionToken="1.1.1"),
        "SkipGracefulOrchestrationTerminations": pb.SkipGracefulOrchestrationTerminationsRequest(
            instanceBatch=pb.InstanceBatch(instanceIds=[id]), reason=text("r")
        ),
    }  # fmt: skip


def raw_answer(
    channel: grpc.Channel, name: str, message: bytes, timeout: float, **more: Any
) -> tuple[grpc.StatusCode, str]:
    """Sends these bytes to a call, reads all that comes, and returns the status and what was said with it."""
    try:
        if name in STREAMS:
            for _ in channel.unary_stream(f"/{SERVICE}/{name}")(message, timeout=timeout, **more):
                continue
        else:
            channel.unary_unary(f"/{SERVICE}/{name}")(message, timeout=timeout, **more)
    except grpc.RpcError as error:
        refusal: Any = error
        return refusal.code(), str(refusal.details())
    return grpc.StatusCode.OK, ""


def raw_code(channel: grpc.Channel, name: str, message: bytes, timeout: float, **more: Any) -> grpc.StatusCode:
    return raw_answer(channel, name, message, timeout, **more)[0]

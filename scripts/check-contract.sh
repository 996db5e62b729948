#!/usr/bin/env bash
# Compares docs/contract.md with the contract: every name of the service contract has a row, and each test that a row
# names is there; no row is open.
set -euo pipefail
cd "$(dirname "$0")/.."

page=docs/contract.md
names='
constructor CreateAsync CreateIfNotExistsAsync recreate CreateDatabaseIfNotExists DeleteAsync StartAsync StopAsync IsTaskHubReady
GetDelayInSecondsAfterOnProcessException GetDelayInSecondsAfterOnFetchException TaskOrchestrationDispatcherCount
TaskActivityDispatcherCount MaxConcurrentTaskOrchestrationWorkItems MaxConcurrentTaskActivityWorkItems IsMaxMessageCountExceeded
CreateTaskOrchestrationAsync GetOrchestrationStateAsync ForceTerminateTaskOrchestrationAsync PurgeInstanceStateAsync
PurgeOrchestrationHistoryAsync LockNextTaskOrchestrationWorkItemAsync CompleteTaskOrchestrationWorkItemAsync
RenewTaskOrchestrationWorkItemLockAsync AbandonTaskOrchestrationWorkItemAsync ReleaseTaskOrchestrationWorkItemAsync
LockNextTaskActivityWorkItem CompleteTaskActivityWorkItemAsync RenewTaskActivityWorkItemLockAsync
AbandonTaskActivityWorkItemAsync SendTaskOrchestrationMessageAsync SendTaskOrchestrationMessageBatchAsync
WaitForOrchestrationAsync GetOrchestrationHistoryAsync GetOrchestrationWithQueryAsync
EventPayloadMap ExtendedOrchestrationWorkItem DTUtils.GetTaskEventId DTUtils.HasPayload
PostgresEventSerializer.SerializeHistoryEvents PostgresEventSerializer.SerializeMessages
PostgresEventSerializer.SerializeOrchestrationEvents PostgresEventSerializer.SerializeTaskEvents
PostgresResultParser.ReadTaskMessage PostgresResultParser.ReadHistoryEvents PostgresResultParser.CreateHistoryEvent
_LockNextOrchestration _CheckpointOrchestration _RenewOrchestrationLocks _DiscardEventsAndUnlockInstance _LockNextTask
_CompleteTasks _RenewTaskLocks RaiseEvent _AddOrchestrationEvents TerminateInstance GetInstanceHistory
QuerySingleOrchestration _QueryManyOrchestrations PurgeInstanceStateByID PurgeInstanceStateByTime CreateInstance
CurrentTaskHub GetScaleMetric GetScaleRecommendation SetGlobalSetting _GetVersions vInstances vHistory'

wrong=0
say() {
  echo "contract: $*" >&2
  wrong=1
}

for name in $names; do
  grep -qF "| \`$name\` |" "$page" || say "$page has no row for $name"
done
while read -r row; do say "still open: $row"; done < <(grep -E '\| *open *\|$' "$page" | cut -d'|' -f2 || true)

# The last cell of a row names tests in backticks, each a function or a conformance case.
tests=$(grep -E '^\|' "$page" | awk -F'|' '{ print $(NF - 1) }' | grep -oE '`[a-z0-9_]+`' | tr -d '`' | sort -u)
for test in $tests; do
  grep -rqwE "fn $test|$test[,;]" --include='*.rs' crates || say "$page names a test that is not there: $test"
done
exit "$wrong"

//! Nodes and their leases.

use std::time::Duration;

use everdure_core::{ActivityId, BackendResult, InstanceKey, NodeId, NodeLease, Reaped, RegisterNode};

use crate::backend::PostgresBackend;
use crate::rows::get;

/// PostgreSQL intervals are bound as text: the driver knows no type for them.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

impl PostgresBackend {
    pub(crate) async fn register(&self, request: RegisterNode) -> BackendResult<NodeLease> {
        let lanes = i32::try_from(self.committer.lanes() + 2).unwrap_or(i32::MAX);
        let sql = format!("select * from {}._register_node($1, make_interval(secs => $2), $3, $4)", self.schema);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.hub, &seconds(request.lease), &request.address, &lanes];
        let rows = self.query_sql("registering a node", &sql, &parameters).await?;
        let row = &rows[0];
        self.clock.observe(get(row, "at")?);
        let node = NodeId(get(row, "node_id")?);
        self.hints.joined();
        Ok(self.lease(node, request.lease, get(row, "live_nodes")?))
    }

    pub(crate) async fn renew(&self, node: NodeId) -> BackendResult<NodeLease> {
        let sql = format!(
            "select extract(epoch from lease)::float8 as lease, live_nodes, at from {}._renew_node($1)",
            self.schema
        );
        let rows = self.query_sql("renewing the lease of a node", &sql, &[&node.0]).await?;
        self.tidy_pool();
        let row = &rows[0];
        self.clock.observe(get(row, "at")?);
        let lease = Duration::try_from_secs_f64(get(row, "lease")?).unwrap_or_default();
        Ok(self.lease(node, lease, get(row, "live_nodes")?))
    }

    fn lease(&self, node: NodeId, lease: Duration, live_nodes: i32) -> NodeLease {
        let live_nodes = u32::try_from(live_nodes).unwrap_or(0);
        self.hints.set_live_nodes(live_nodes);
        NodeLease { node, lease, live_nodes }
    }

    pub(crate) async fn reap(&self) -> BackendResult<Reaped> {
        let row = self.query_one("reaping nodes", "_reap_nodes", 1, &[&self.hub]).await?;
        let nodes: Vec<i64> = get(&row, "nodes")?;
        let released: i64 = get(&row, "released")?;
        if released > 0 {
            self.hints.everything();
        }
        Ok(Reaped { nodes: nodes.into_iter().map(NodeId).collect(), released: u64::try_from(released).unwrap_or(0) })
    }

    pub(crate) async fn remove(&self, node: NodeId) -> BackendResult<()> {
        self.query_one("removing a node", "_remove_node", 1, &[&node.0]).await?;
        self.hints.set_live_nodes(0);
        self.hints.everything();
        Ok(())
    }

    pub(crate) async fn release_forgotten_activities(
        &self,
        node: NodeId,
        known: Vec<ActivityId>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        let known: Vec<i64> = known.into_iter().map(|id| id.0).collect();
        let sql = format!("select {}._release_unknown_activities($1, $2, make_interval(secs => $3))", self.schema);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] = [&node.0, &known, &seconds(older_than)];
        let rows = self.query_sql("releasing forgotten activities", &sql, &parameters).await?;
        let released: i64 = rows[0].get(0);
        if released > 0 {
            self.hints.activities();
        }
        Ok(u64::try_from(released).unwrap_or(0))
    }

    pub(crate) async fn release_forgotten(
        &self,
        node: NodeId,
        known: Vec<InstanceKey>,
        older_than: Duration,
    ) -> BackendResult<u64> {
        let known: Vec<i64> = known.into_iter().map(|key| key.0).collect();
        let sql = format!("select {}._release_unknown($1, $2, $3, make_interval(secs => $4))", self.schema);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&node.0, &self.committer.claim_lane(), &known, &seconds(older_than)];
        let rows = self.query_sql("releasing forgotten instances", &sql, &parameters).await?;
        let released: i64 = rows[0].get(0);
        if released > 0 {
            self.hints.everything();
        }
        Ok(u64::try_from(released).unwrap_or(0))
    }
}

//! Making and removing task hubs.

use std::sync::Arc;

use everdure_proto::pb;
use tonic::{Request, Status};

use crate::hubs::Hubs;

pub(super) async fn create_task_hub(
    hubs: &Arc<Hubs>,
    request: Request<pb::CreateTaskHubRequest>,
) -> Result<pb::CreateTaskHubResponse, Status> {
    let name = hubs.name_of(&request)?;
    if request.get_ref().recreate_if_exists {
        hubs.delete(name).await?;
    }
    hubs.get(name).await?;
    Ok(pb::CreateTaskHubResponse {})
}

pub(super) async fn delete_task_hub(
    hubs: &Arc<Hubs>,
    request: Request<pb::DeleteTaskHubRequest>,
) -> Result<pb::DeleteTaskHubResponse, Status> {
    // One that is not there is as good as deleted.
    hubs.delete(hubs.name_of(&request)?).await?;
    Ok(pb::DeleteTaskHubResponse {})
}

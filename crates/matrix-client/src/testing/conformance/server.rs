use ruma::api::MatrixVersion;

use super::{CaseResult, Subject, ensure};
use crate::LoginFlow;

pub(super) async fn the_versions_include_one_that_we_speak(t: &Subject) -> CaseResult {
    let versions = t.api().versions().await?;
    ensure(versions.supports(MatrixVersion::V1_11), || {
        format!("{versions:?}")
    })
}

pub(super) async fn the_login_flows_include_the_ones_we_use(t: &Subject) -> CaseResult {
    let flows = t.api().login_flows().await?;
    ensure(flows.contains(&LoginFlow::Password), || format!("{flows:?}"))?;
    if t.appservice().is_ok() {
        ensure(flows.contains(&LoginFlow::Appservice), || format!("{flows:?}"))?;
    }
    Ok(())
}

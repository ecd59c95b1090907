use serde_json::json;

use super::{
    CaseResult, MatrixErrorKind as Kind, NewRoom, RoomPreset, Session, Subject, ensure, refused, same, some,
};
use crate::{HierarchyRequest, MatrixApiExt, RoomType, StateEventType};

async fn space(t: &Subject, owner: &Session) -> CaseResult<ruma::OwnedRoomId> {
    Ok(t.api()
        .create_room(
            owner,
            &NewRoom::space()
                .preset(RoomPreset::PrivateChat)
                .name("Letta Agents"),
        )
        .await?)
}

async fn put(t: &Subject, owner: &Session, space: &ruma::RoomId, child: &ruma::RoomId) -> CaseResult {
    let via = [t.facts().server_name.clone()];
    t.api().add_space_child(owner, space, child, &via).await?;
    Ok(())
}

pub(super) async fn a_child_shows_up_in_the_hierarchy_and_can_be_removed(t: &Subject) -> CaseResult {
    let owner = t.user().await?;
    let space = space(t, &owner).await?;
    let localpart = t.unique("alias");
    let new = NewRoom::room()
        .name("Agent Alpha")
        .topic("talks")
        .alias_localpart(&localpart);
    let room = t.api().create_room(&owner, &new).await?;
    put(t, &owner, &space, &room).await?;
    let page = t
        .api()
        .list_space_children(&owner, &space, &HierarchyRequest::new())
        .await?;
    same(page.next_batch, None)?;
    same(
        page.rooms
            .iter()
            .map(|room| &room.summary.room_id)
            .collect::<Vec<_>>(),
        vec![&space, &room],
    )?;
    same(&page.rooms[0].summary.room_type, &Some(RoomType::Space))?;
    same(page.rooms[0].children.len(), 1)?;
    let child = &page.rooms[0].children[0];
    same((&child.room_id, &child.sender), (&room, &owner.user_id))?;
    same(&child.via, &vec![t.facts().server_name.clone()])?;
    let summary = &page.rooms[1].summary;
    same(
        (summary.name.as_deref(), summary.topic.as_deref()),
        (Some("Agent Alpha"), Some("talks")),
    )?;
    same(&summary.canonical_alias, &Some(t.alias(&localpart)?))?;
    same(
        (&summary.room_type, u64::from(summary.num_joined_members)),
        (&None, 1),
    )?;
    t.api().remove_space_child(&owner, &space, &room).await?;
    let page = t
        .api()
        .list_space_children(&owner, &space, &HierarchyRequest::new())
        .await?;
    same(page.rooms.len(), 1)?;
    ensure(page.rooms[0].children.is_empty(), || {
        format!("{:?}", page.rooms[0].children)
    })?;
    let emptied = t
        .api()
        .get_state_event(&owner, &space, &StateEventType::SpaceChild, room.as_str())
        .await?;
    same(emptied, json!({}))
}

pub(super) async fn a_parent_can_be_named(t: &Subject) -> CaseResult {
    let owner = t.user().await?;
    let (space, room) = (space(t, &owner).await?, t.room(&owner).await?);
    let via = [t.facts().server_name.clone()];
    t.api().set_space_parent(&owner, &room, &space, &via).await?;
    let parent = t
        .api()
        .get_state_event(&owner, &room, &StateEventType::SpaceParent, space.as_str())
        .await?;
    same(
        parent,
        json!({ "via": [t.facts().server_name], "canonical": true }),
    )
}

pub(super) async fn the_hierarchy_comes_in_pages(t: &Subject) -> CaseResult {
    let owner = t.user().await?;
    let space = space(t, &owner).await?;
    let mut rooms = vec![space.clone()];
    for _ in 0..4 {
        let room = t.room(&owner).await?;
        put(t, &owner, &space, &room).await?;
        rooms.push(room);
    }
    let mut found = Vec::new();
    let mut request = HierarchyRequest::new().limit(2);
    let mut pages = 0;
    loop {
        let page = t.api().list_space_children(&owner, &space, &request).await?;
        ensure(page.rooms.len() <= 2, || {
            format!("{} rooms on a page of 2", page.rooms.len())
        })?;
        found.extend(page.rooms.into_iter().map(|room| room.summary.room_id));
        pages += 1;
        match page.next_batch {
            Some(next) if pages < 10 => request = request.from(next),
            _ => break,
        }
    }
    same(found.first(), Some(&space))?;
    found.sort();
    rooms.sort();
    same(&found, &rooms)?;
    same(
        t.api().list_all_space_children(&owner, &space, None).await?.len(),
        5,
    )
}

pub(super) async fn the_depth_can_be_limited(t: &Subject) -> CaseResult {
    let owner = t.user().await?;
    let (outer, inner, room) = (
        space(t, &owner).await?,
        space(t, &owner).await?,
        t.room(&owner).await?,
    );
    put(t, &owner, &outer, &inner).await?;
    put(t, &owner, &inner, &room).await?;
    let count = async |depth| -> CaseResult<usize> {
        Ok(t.api()
            .list_all_space_children(&owner, &outer, depth)
            .await?
            .len())
    };
    same(count(None).await?, 3)?;
    same(count(Some(1)).await?, 2)
}

pub(super) async fn only_suggested_children_can_be_asked_for(t: &Subject) -> CaseResult {
    let owner = t.user().await?;
    let (space, plain, suggested) = (
        space(t, &owner).await?,
        t.room(&owner).await?,
        t.room(&owner).await?,
    );
    put(t, &owner, &space, &plain).await?;
    let content = json!({ "via": [t.facts().server_name], "suggested": true, "order": "a" });
    t.api()
        .set_state_event(
            &owner,
            &space,
            &StateEventType::SpaceChild,
            suggested.as_str(),
            &content,
        )
        .await?;
    let page = t
        .api()
        .list_space_children(&owner, &space, &HierarchyRequest::new().suggested_only())
        .await?;
    same(
        page.rooms
            .iter()
            .map(|room| &room.summary.room_id)
            .collect::<Vec<_>>(),
        vec![&space, &suggested],
    )?;
    let child = some(page.rooms[0].children.first(), "child")?;
    same((child.suggested, child.order.as_deref()), (true, Some("a")))
}

pub(super) async fn a_room_that_one_may_not_see_is_only_named_by_its_parent(t: &Subject) -> CaseResult {
    let (owner, guest) = (t.user().await?, t.user().await?);
    let (space, hidden, open) = (
        space(t, &owner).await?,
        t.room(&owner).await?,
        t.public_room(&owner).await?,
    );
    put(t, &owner, &space, &hidden).await?;
    put(t, &owner, &space, &open).await?;
    t.bring(&owner, &space, &guest).await?;
    let page = t
        .api()
        .list_space_children(&guest, &space, &HierarchyRequest::new())
        .await?;
    same(
        page.rooms
            .iter()
            .map(|room| &room.summary.room_id)
            .collect::<Vec<_>>(),
        vec![&space, &open],
    )?;
    let mut named: Vec<_> = page.rooms[0]
        .children
        .iter()
        .map(|child| &child.room_id)
        .collect();
    let mut expected = vec![&hidden, &open];
    named.sort();
    expected.sort();
    same(named, expected)
}

pub(super) async fn the_hierarchy_of_a_space_one_is_not_in_is_forbidden(t: &Subject) -> CaseResult {
    let (owner, stranger) = (t.user().await?, t.user().await?);
    let space = space(t, &owner).await?;
    let result = t
        .api()
        .list_space_children(&stranger, &space, &HierarchyRequest::new())
        .await;
    refused(result, &Kind::Forbidden, 403, "M_FORBIDDEN").map(|_| ())
}

//! Tests the effect of each key.

use super::{Small, best, searching, setup, state, whole};
use crate::tui::groups::groups;
use crate::tui::keys::Key;
use crate::tui::setup::Role;
use crate::tui::state::State;
use crate::tui::view::{Action, Filter, Panel, View};

fn press(view: &mut View, state: &State, keys: &[Key]) -> Option<Action> {
    let setup = setup(Role::Runs);
    keys.iter().filter_map(|key| view.press(*key, state, &setup, &Small)).last()
}

fn chars(text: &str) -> Vec<Key> {
    text.chars().map(Key::Char).collect()
}

fn listed(view: &View, state: &State) -> Vec<u64> {
    view.rows(state).iter().map(|told| told.trial.id).collect()
}

#[test]
fn sort_key_orders_trials_by_every_column() {
    let state = state(&searching());
    let mut view = View::default();
    assert_eq!(listed(&view, &state)[..2], [89, 88]);
    press(&mut view, &state, &chars("s"));
    assert_eq!(listed(&view, &state)[0], best(90));
    assert!(listed(&view, &state)[86..].iter().all(|id| id % 20 == 13), "failed trials come last");
    press(&mut view, &state, &chars("s"));
    let latencies: Vec<f64> =
        view.rows(&state).iter().filter_map(|told| told.trial.objectives.0.get(1).copied()).collect();
    assert!(latencies.is_sorted());
    press(&mut view, &state, &chars("s"));
    let seconds: Vec<f64> = view.rows(&state).iter().map(|told| -told.seconds.get()).collect();
    assert!(seconds.is_sorted());
    press(&mut view, &state, &chars("sS"));
    assert_eq!(listed(&view, &state)[..2], [0, 1]);
}

#[test]
fn filter_key_filters_trials() {
    let state = state(&whole());
    let mut view = View::default();
    press(&mut view, &state, &chars("f"));
    assert_eq!(listed(&view, &state).len(), state.front.len());
    press(&mut view, &state, &chars("f"));
    assert_eq!(listed(&view, &state), [best(150)]);
    press(&mut view, &state, &chars("f"));
    assert_eq!(listed(&view, &state).len(), 7);
    press(&mut view, &state, &chars("f"));
    assert_eq!(listed(&view, &state).len(), 150);
}

#[test]
fn enter_on_cluster_lists_its_trials() {
    let state = state(&searching());
    let names: Vec<String> = groups(&state).into_iter().map(|group| group.name).collect();
    assert_eq!(names, ["cluster 0", "cluster 1", "cluster 2", "cluster 3", "random"]);
    let mut view = View::default();
    press(&mut view, &state, &[Key::Char('4'), Key::Down, Key::Down, Key::Enter]);
    assert_eq!(view.filter, Filter::Group("cluster 2".to_owned()));
    assert_eq!(view.focus, Panel::Trials);
    assert!(listed(&view, &state).iter().all(|id| id % 4 == 2));
    press(&mut view, &state, &[Key::Escape]);
    assert_eq!(view.filter, Filter::All);
}

#[test]
fn selection_keeps_its_trial_and_top_row_follows_newest() {
    let mut state = state(&searching());
    let mut view = View::default();
    press(&mut view, &state, &[Key::Down, Key::Char('j')]);
    assert_eq!(view.selected, Some(87));
    state.apply(&super::told(90), std::time::Duration::from_secs(70));
    let rows = view.rows(&state);
    assert_eq!(view.row(&rows), 3);
    press(&mut view, &state, &[Key::End]);
    assert_eq!(view.selected, Some(0));
    press(&mut view, &state, &[Key::Home]);
    assert_eq!(view.selected, None);
}

#[test]
fn details_open_scroll_and_close() {
    let state = state(&whole());
    let mut view = View::default();
    press(&mut view, &state, &[Key::Down, Key::Enter]);
    assert_eq!(view.opened.as_ref().map(|opened| opened.trial), Some(148));
    press(&mut view, &state, &chars("n"));
    assert_eq!(view.opened.as_ref().map(|opened| opened.trial), Some(147));
    press(&mut view, &state, &[Key::Down, Key::PageDown]);
    assert_eq!(view.opened.as_ref().map(|opened| opened.scrolled), Some(11));
    press(&mut view, &state, &[Key::Escape]);
    assert_eq!(view.opened, None);
}

#[test]
fn export_key_works_in_list_and_details() {
    let state = state(&whole());
    let mut view = View { selected: Some(best(150)), ..View::default() };
    assert_eq!(press(&mut view, &state, &chars("e")), Some(Action::Export(best(150))));
    press(&mut view, &state, &[Key::Enter]);
    view.selected = Some(3);
    assert_eq!(press(&mut view, &state, &chars("e")), Some(Action::Export(best(150))));
}

#[test]
fn export_of_unfinished_trial_answers_with_reason_and_advice() {
    let message = |state: &State, selected: Option<u64>| {
        let mut view = View { selected, ..View::default() };
        assert_eq!(press(&mut view, state, &chars("e")), None);
        view.message.unwrap()
    };
    assert_eq!(message(&super::state(&[]), None), "there is no trial to export yet");
    assert_eq!(
        message(&state(&whole()), Some(3)),
        "trial 3 has no weights of its own to export: it was not finished; `kiln finish runs/digits 3` \
         trains it when the search has ended"
    );
    let said = message(&state(&searching()), Some(13));
    assert!(
        said.ends_with("the study will finish the network of the front that is best by the first objective"),
        "{said}"
    );
}

#[test]
fn tab_and_number_keys_move_focus() {
    let state = state(&[]);
    let mut view = View::default();
    press(&mut view, &state, &[Key::Tab]);
    assert_eq!(view.focus, Panel::Groups);
    press(&mut view, &state, &[Key::Tab, Key::Tab]);
    assert_eq!(view.focus, Panel::Front);
    press(&mut view, &state, &[Key::BackTab]);
    assert_eq!(view.focus, Panel::Log);
    press(&mut view, &state, &chars("2z"));
    assert_eq!((view.focus, view.zoomed), (Panel::Volume, true));
    press(&mut view, &state, &[Key::Escape]);
    assert!(!view.zoomed);
    press(&mut view, &state, &chars("?"));
    assert!(view.help);
    press(&mut view, &state, &chars("j"));
    assert!(!view.help);
}

#[test]
fn log_scrolls_and_stops_at_its_ends() {
    let state = state(&whole());
    let lines = state.lines.iter().len();
    let mut view = View { focus: Panel::Log, ..View::default() };
    press(&mut view, &state, &[Key::Up, Key::Up]);
    assert_eq!(view.log_back, 2);
    press(&mut view, &state, &[Key::Home]);
    assert_eq!(view.log_back, lines - 1);
    press(&mut view, &state, &[Key::End, Key::Down]);
    assert_eq!(view.log_back, 0);
}

#[test]
fn quit_keys_return_quit_action() {
    let state = state(&[]);
    assert_eq!(press(&mut View::default(), &state, &chars("q")), Some(Action::Quit));
    assert_eq!(
        press(&mut View { help: true, ..View::default() }, &state, &[Key::Interrupt]),
        Some(Action::Quit)
    );
    assert_eq!(press(&mut View::default(), &state, &chars("x")), None);
}

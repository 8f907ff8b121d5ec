use super::*;

/// A directory that looks like mounted control groups. The files of a new group have to be created by the test.
fn version_one() -> tempfile::TempDir {
    let mounted = tempfile::tempdir().unwrap();
    fs::create_dir_all(mounted.path().join("cpu/mine")).unwrap();
    mounted
}

#[test]
fn a_share_grows_with_memory_and_never_falls_below_the_kernels_minimum() {
    assert_eq!(quota(128), Duration::from_micros(1447));
    assert_eq!(quota(1769), PERIOD);
    assert_eq!(quota(3538), PERIOD * 2);
    assert_eq!(quota(1), Duration::from_millis(1));
}

#[test]
fn the_visible_cpus_follow_the_tiers() {
    let tiers = [128, 3008, 3009, 5307, 7076, 8845, 10_240];
    assert_eq!(tiers.map(visible_cpus), [2, 2, 3, 3, 4, 5, 6]);
}

#[test]
fn the_own_group_is_found_in_the_words_of_either_version() {
    let own = "3:cpuset:/a\n1:cpu,cpuacct:/b/c\n0::/d\n";
    assert_eq!(Version::One.path(own), "/b/c");
    assert_eq!(Version::Two.path(own), "/d");
    assert_eq!(Version::One.path(""), "/");
}

#[test]
fn the_second_version_counts_where_it_controls_cpus() {
    let mounted = version_one();
    assert_eq!(Version::of(mounted.path()), Version::One);
    fs::write(mounted.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
    assert_eq!(Version::of(mounted.path()), Version::One);
    fs::write(mounted.path().join("cgroup.controllers"), "cpuset cpu io\n").unwrap();
    assert_eq!(Version::of(mounted.path()), Version::Two);
}

#[test]
fn a_place_without_the_controller_is_refused_by_name_and_left_clean() {
    let mounted = version_one();
    // The new directory has no `cgroup.procs`, as a group without the controller would have no quota.
    let refused = Group::make_below(mounted.path(), "1:cpu:/mine\n", 128).unwrap_err();
    assert!(refused.reason().contains("cpu"), "{}", refused.reason());
    assert_eq!(refused.tried, mounted.path().join("cpu"), "the own group first, then its ancestors");
    assert_eq!(fs::read_dir(mounted.path().join("cpu/mine")).unwrap().count(), 0);
}

#[test]
fn groups_of_processes_that_are_gone_are_swept_and_others_stay() {
    let parent = tempfile::tempdir().unwrap();
    let (gone, here) = (format!("{PREFIX}{}-0", i32::MAX), format!("{PREFIX}{}-0", std::process::id()));
    for name in [gone.as_str(), here.as_str(), "other-1"] {
        fs::create_dir(parent.path().join(name)).unwrap();
    }
    sweep(parent.path());
    assert!(!parent.path().join(gone).exists());
    assert!(parent.path().join(here).exists() && parent.path().join("other-1").exists());
}

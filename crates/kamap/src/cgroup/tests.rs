use super::*;

const ID: &str = "9687bac58d5c4d1606aa46af33d1a21c1d1652e0ac9fb3fc0fc86e3495f42869";
const OTHER: &str = "d6701ec289c56e4391acb11d07474b3139466857a305490575508a8b7a9fcf22";
const POD: &str = "9692aa0e-748e-11e8-8dfa-76d458035df6";
const POD_: &str = "9692aa0e_748e_11e8_8dfa_76d458035df6";
/// Of a static pod.
const HASH: &str = "2b9e0d2f4c8e4b6f8a1d3c5e7f901234";

/// A path, in which `ID`, `OTHER`, `POD`, `POD_` and `HASH` stand for the above.
fn cgroup(path: &str) -> Cgroup {
    let names = path.split_inclusive(['/', '.', '-', ':']);
    let names = names.map(|name| {
        let end = name.trim_end_matches(['/', '.', '-', ':']).len();
        let (name, rest) = name.split_at(end);
        let (pod, name) = match name.strip_prefix("pod") {
            Some(name) if ["POD", "POD_", "HASH"].contains(&name) => ("pod", name),
            _ => ("", name),
        };
        let name = match name {
            "ID" => ID,
            "OTHER" => OTHER,
            "POD" => POD,
            "POD_" => POD_,
            "HASH" => HASH,
            name => name,
        };
        [pod, name, rest].concat()
    });
    Cgroup::new(names.collect::<String>())
}

/// Path, unit, unit of a user.
const UNITS: &[(&str, Option<&str>, Option<&str>)] = &[
    ("/", None, None),
    ("/init.scope", Some("init.scope"), None),
    ("/system.slice", None, None),
    ("/system.slice/nginx.service", Some("nginx.service"), None),
    ("/system.slice/dbus.socket", Some("dbus.socket"), None),
    (
        "/system.slice/system-getty.slice/getty@tty1.service",
        Some("getty@tty1.service"),
        None,
    ),
    (
        r"/system.slice/system-systemd\x2dfsck.slice/systemd-fsck@dev-disk-by\x2duuid-1a2b.service",
        Some(r"systemd-fsck@dev-disk-by\x2duuid-1a2b.service"),
        None,
    ),
    (
        "/system.slice/snapd.service/sub/tree",
        Some("snapd.service"),
        None,
    ),
    // Names that the kernel's own files could have.
    (
        "/system.slice/_cgroup.service",
        Some("cgroup.service"),
        None,
    ),
    ("/system.slice/_cpu.service", Some("cpu.service"), None),
    ("/system.slice/__x.service", Some("_x.service"), None),
    (
        "/user.slice/user-1000.slice/session-3.scope",
        Some("session-3.scope"),
        None,
    ),
    (
        "/user.slice/user-1000.slice/session-c1.scope/app.service",
        Some("session-c1.scope"),
        Some("app.service"),
    ),
    (
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        Some("user@1000.service"),
        Some("init.scope"),
    ),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-org.gnome.Terminal.slice/vte-spawn-1.scope",
        Some("user@1000.service"),
        Some("vte-spawn-1.scope"),
    ),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice",
        Some("user@1000.service"),
        None,
    ),
    // A unit of another systemd, in a container.
    (
        "/machine.slice/systemd-nspawn@jammy.service/payload/system.slice/cron.service",
        Some("systemd-nspawn@jammy.service"),
        None,
    ),
    ("/docker/ID/system.slice/cron.service", None, None),
    // No units.
    ("/app", None, None),
    ("/system.slice/.service", None, None),
    ("/system.slice/a b.service", None, None),
    ("/system.slice/x.timer", None, None),
    ("/not a.slice/x.service", None, None),
];

#[test]
fn units_are_named_as_systemd_names_them() {
    for (path, unit, user_unit) in UNITS {
        let cgroup = cgroup(path);
        let units = (cgroup.unit(), cgroup.user_unit());
        assert_eq!(units, (*unit, *user_unit), "{path}");
    }
}

/// Path, container, its runtime, UID of the pod.
type Contained = (
    &'static str,
    Option<(&'static str, Option<Runtime>)>,
    Option<&'static str>,
);

const DOCKER: Option<Runtime> = Some(Runtime::Docker);
const CONTAINERD: Option<Runtime> = Some(Runtime::Containerd);
const CRI_O: Option<Runtime> = Some(Runtime::CriO);
const PODMAN: Option<Runtime> = Some(Runtime::Podman);
const NSPAWN: Option<Runtime> = Some(Runtime::Nspawn);

const CONTAINERS: &[Contained] = &[
    // Docker: with cgroupfs, with systemd, rootless, with a parent of its own, one in another.
    ("/docker/ID", Some((ID, DOCKER)), None),
    ("/docker/ID/init.scope", Some((ID, DOCKER)), None),
    ("/system.slice/docker-ID.scope", Some((ID, DOCKER)), None),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        Some((ID, DOCKER)),
        None,
    ),
    ("/ecs/0a5b1c2d3e4f/ID", Some((ID, None)), None),
    (
        "/ecstasks.slice/ecstasks-0a5b.slice/docker-ID.scope",
        Some((ID, DOCKER)),
        None,
    ),
    ("/docker/OTHER/docker/ID", Some((ID, DOCKER)), None),
    (
        "/system.slice/docker-OTHER.scope/docker/ID",
        Some((ID, DOCKER)),
        None,
    ),
    ("/system.slice/docker.service", None, None),
    // Kubernetes with systemd: containerd, CRI-O and Docker, in each class of service.
    (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/cri-containerd-ID.scope",
        Some((ID, CONTAINERD)),
        Some(POD),
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/crio-ID.scope",
        Some((ID, CRI_O)),
        Some(POD),
    ),
    (
        "/kubepods.slice/kubepods-podPOD_.slice/crio-ID.scope/container",
        Some((ID, CRI_O)),
        Some(POD),
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podPOD_.slice/crio-conmon-ID.scope",
        None,
        Some(POD),
    ),
    (
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/docker-ID.scope",
        Some((ID, DOCKER)),
        Some(POD),
    ),
    (
        "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podHASH.slice/cri-containerd-ID.scope",
        Some((ID, CONTAINERD)),
        Some(HASH),
    ),
    // Kubernetes with cgroupfs.
    (
        "/kubepods/besteffort/podPOD/ID",
        Some((ID, None)),
        Some(POD),
    ),
    ("/kubepods/podPOD/ID", Some((ID, None)), Some(POD)),
    (
        "/kubepods/burstable/podHASH/ID",
        Some((ID, None)),
        Some(HASH),
    ),
    (
        "/kubepods/burstable/podPOD/crio-ID",
        Some((ID, CRI_O)),
        Some(POD),
    ),
    ("/kubepods/burstable/podPOD/crio-conmon-ID", None, Some(POD)),
    ("/kubepods/burstable/podPOD", None, Some(POD)),
    // The kubelet uses systemd, the runtime does not.
    (
        "/system.slice/containerd.service/kubepods-besteffort-podPOD_.slice:cri-containerd:ID",
        Some((ID, CONTAINERD)),
        Some(POD),
    ),
    (
        "/system.slice/containerd.service/kubepods-burstable-podPOD.slice:cri-containerd:ID",
        Some((ID, CONTAINERD)),
        Some(POD),
    ),
    (
        "/kubepods-besteffort-podPOD_.slice:crio:ID",
        Some((ID, CRI_O)),
        Some(POD),
    ),
    // kind and minikube: nodes in containers.
    (
        "/docker/OTHER/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-podPOD_.slice/cri-containerd-ID.scope",
        Some((ID, CONTAINERD)),
        Some(POD),
    ),
    (
        "/system.slice/docker-OTHER.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podPOD_.slice/cri-containerd-ID.scope",
        Some((ID, CONTAINERD)),
        Some(POD),
    ),
    (
        "/docker/OTHER/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podPOD_.slice/crio-ID.scope",
        Some((ID, CRI_O)),
        Some(POD),
    ),
    (
        "/docker/OTHER/kubelet/kubepods/besteffort/podPOD/ID",
        Some((ID, None)),
        Some(POD),
    ),
    (
        "/docker/OTHER/kubelet.slice/kubelet.service",
        Some((OTHER, DOCKER)),
        None,
    ),
    // nerdctl and ctr.
    (
        "/system.slice/nerdctl-ID.scope",
        Some((ID, CONTAINERD)),
        None,
    ),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-ID.scope",
        Some((ID, CONTAINERD)),
        None,
    ),
    ("/default/ID", Some((ID, None)), None),
    // Podman: with systemd, rootless, as a service, in a pod of its own, with cgroupfs.
    ("/machine.slice/libpod-ID.scope", Some((ID, PODMAN)), None),
    (
        "/machine.slice/libpod-ID.scope/container",
        Some((ID, PODMAN)),
        None,
    ),
    ("/machine.slice/libpod-conmon-ID.scope", None, None),
    (
        "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        Some((ID, PODMAN)),
        None,
    ),
    (
        "/system.slice/nginx.service/libpod-payload-ID",
        Some((ID, PODMAN)),
        None,
    ),
    ("/system.slice/nginx.service/runtime", None, None),
    (
        "/user.slice/user-1000.slice/user@1000.service/app.slice/redis.service/libpod-payload-ID",
        Some((ID, PODMAN)),
        None,
    ),
    (
        "/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope",
        Some((ID, PODMAN)),
        None,
    ),
    ("/libpod_parent/libpod-ID", Some((ID, PODMAN)), None),
    ("/libpod_parent/OTHER/libpod-ID", Some((ID, PODMAN)), None),
    ("/libpod_parent/OTHER/conmon", None, None),
    ("/libpod_parent/conmon", None, None),
    // systemd-nspawn, from machinectl and from the command line.
    (
        "/machine.slice/systemd-nspawn@jammy.service/payload/system.slice/cron.service",
        Some(("jammy", NSPAWN)),
        None,
    ),
    (
        "/machine.slice/systemd-nspawn@my-box.service/payload",
        Some(("my-box", NSPAWN)),
        None,
    ),
    (
        "/machine.slice/systemd-nspawn@jammy.service/supervisor",
        None,
        None,
    ),
    (
        r"/machine.slice/machine-my\x2dbox.scope/payload/init.scope",
        Some(("my-box", NSPAWN)),
        None,
    ),
    (
        r"/machine.slice/machine-qemu\x2d1\x2dvm.scope/emulator",
        None,
        None,
    ),
    (
        "/machine.slice/systemd-nspawn@jammy.service/payload/system.slice/docker-ID.scope",
        Some((ID, DOCKER)),
        None,
    ),
    // Nothing of the kind.
    ("/", None, None),
    ("/payload", None, None),
    ("/system.slice/docker-0123.scope", None, None),
    ("/podPOD", None, None),
    ("/kubepods/burstable/podcast", None, None),
    ("/user.slice/x-podPOD_.slice", None, None),
];

#[test]
fn containers_and_pods_are_recognized_by_the_paths_that_their_runtimes_make() {
    for (path, container, pod) in CONTAINERS {
        let cgroup = cgroup(path);
        let found = cgroup
            .container()
            .map(|found| (found.id.as_str(), found.runtime));
        assert_eq!((found, cgroup.pod_uid()), (*container, *pod), "{path}");
    }
}

#[test]
fn a_path_of_any_bytes_is_kept() {
    let path = OsStr::from_bytes(b"/system.slice/\xff/docker");
    let cgroup = Cgroup::new(path);
    assert_eq!(cgroup.path(), path);
    assert_eq!(cgroup.name(), Some(OsStr::new("docker")));
    assert_eq!(Cgroup::new("/").name(), None);
}

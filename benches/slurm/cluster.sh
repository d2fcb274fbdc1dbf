#!/usr/bin/env bash
# A Slurm cluster on this machine: a controller and three nodes, each in a network namespace of its own, with
# a host name and, for nodes, process ids of its own. Nothing outside the namespaces can reach them. The node
# n3 does not see the folder `shared` beside FOLDER. Jobs of the partition `urgent` displace those of `main`.
#
#     cluster.sh up FOLDER          makes the cluster, and waits until all nodes are idle
#     cluster.sh in FOLDER COMMAND  runs a command on the controller's machine
#     cluster.sh kill FOLDER n1     kills a node: its daemon and all that it runs, at once
#     cluster.sh start FOLDER n1    starts a node again
#     cluster.sh down FOLDER        ends and removes all of it
#
# Needs root, and Debian's packages `slurm-wlm`, `munge`, `iproute2` and `util-linux`. FOLDER holds the
# configuration, the logs and the state.
set -euo pipefail

action="${1:?up, in, kill, start or down}"
mkdir -p "${2:?a folder}"
folder="$(cd "$2" && pwd)"
shift 2
# One cluster for each folder.
tag="kiln$(printf %s "$folder" | cksum | cut -d' ' -f1 | tail -c 6)"
export SLURM_CONF="$folder/slurm.conf"

namespace() { echo "$tag-$1"; }

configure() {
    mkdir -p "$folder/state" "$folder/log" "$folder/munge" "$folder"/spool-n{1,2,3}
    chmod 755 "$folder"
    [[ -f "$folder/munge/key" ]] || (umask 077 && head -c 128 /dev/urandom >"$folder/munge/key")
    cat >"$folder/slurm.conf" <<CONF
ClusterName=$tag
SlurmctldHost=c(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=10
SlurmdTimeout=8
MessageTimeout=5
InactiveLimit=0
KillWait=2
MinJobAge=300
SchedulerParameters=sched_min_interval=100000,bf_interval=1
DefMemPerCPU=400
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
NodeName=n1 NodeAddr=10.77.0.11 NodeHostname=n1 CPUs=2 RealMemory=4000 Weight=2 State=UNKNOWN
NodeName=n2 NodeAddr=10.77.0.12 NodeHostname=n2 CPUs=2 RealMemory=4000 Weight=2 State=UNKNOWN
NodeName=n3 NodeAddr=10.77.0.13 NodeHostname=n3 CPUs=2 RealMemory=4000 Weight=1 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=60 PriorityTier=1 State=UP
PartitionName=urgent Nodes=n1,n2 MaxTime=60 PriorityTier=9 PreemptMode=OFF State=UP
PartitionName=blind Nodes=n3,n1 MaxTime=60 PriorityTier=1 State=UP
CONF
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$folder/cgroup.conf"
}

# The controller's namespace has a bridge to which the nodes' cables lead.
network() {
    ip netns add "$(namespace c)"
    ip -n "$(namespace c)" link set lo up
    ip -n "$(namespace c)" link add bridge type bridge
    ip -n "$(namespace c)" addr add 10.77.0.1/24 dev bridge
    ip -n "$(namespace c)" link set bridge up
    local node
    for node in 1 2 3; do
        ip netns add "$(namespace "n$node")"
        ip -n "$(namespace "n$node")" link set lo up
        ip -n "$(namespace c)" link add "to-n$node" type veth \
            peer name eth0 netns "$(namespace "n$node")"
        ip -n "$(namespace c)" link set "to-n$node" master bridge up
        ip -n "$(namespace "n$node")" addr add "10.77.0.1$node/24" dev eth0
        ip -n "$(namespace "n$node")" link set eth0 up
    done
}

# Runs a command in a namespace, under the host name of that machine.
on() {
    local machine="$1"
    shift
    # shellcheck disable=SC2016
    ip netns exec "$(namespace "$machine")" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$machine" "$@"
}

# Becomes the command, so that a signal to this script reaches it.
on_controller() {
    # shellcheck disable=SC2016
    exec ip netns exec "$(namespace c)" unshare --uts sh -c 'hostname "$0" && exec "$@"' c "$@"
}

start_node() {
    local node="$1" hide=true
    if [[ "$node" == n3 ]]; then hide="mount -t tmpfs hidden '$(dirname "$folder")/shared'"; fi
    # The first process of the namespace of process ids ends with all the others when it is killed. It
    # follows the daemon, which is ready when it has registered.
    # shellcheck disable=SC2016
    ip netns exec "$(namespace "$node")" setsid unshare --uts --pid --fork --kill-child --mount-proc sh -c \
        'hostname "$0"; eval "$1"; slurmd -D -N "$0" & wait' "$node" "$hide" \
        >>"$folder/log/node-$node.log" 2>&1 </dev/null &
    echo $! >"$folder/$node.pid"
}

kill_node() {
    if [[ -f "$folder/$1.pid" ]]; then
        # `unshare` is the parent of the first process, and takes it along.
        kill -9 "$(cat "$folder/$1.pid")" 2>/dev/null || true
        rm -f "$folder/$1.pid"
    fi
}

wait_idle() {
    local _
    for _ in $(seq 300); do
        if [[ "$(on c sinfo -h -N -o %T 2>/dev/null | sort -u)" == idle ]]; then
            return 0
        fi
        sleep 0.2
    done
    echo "the nodes are not idle: $folder/log" >&2
    on c sinfo -N -l >&2 || true
    return 1
}

up() {
    local node
    configure
    network
    munged --force --socket "$folder/munge/socket" --key-file "$folder/munge/key" \
        --log-file "$folder/munge/log" --pid-file "$folder/munge/pid" --seed-file "$folder/munge/seed"
    on c slurmctld -c
    for node in n1 n2 n3; do start_node "$node"; done
    wait_idle
}

down() {
    local node file
    for node in n1 n2 n3; do kill_node "$node"; done
    for file in "$folder/slurmctld.pid" "$folder/munge/pid"; do
        if [[ -s "$file" ]]; then kill -9 "$(cat "$file")" 2>/dev/null || true; fi
        rm -f "$file"
    done
    for node in c n1 n2 n3; do
        if ip netns list | grep -q "^$(namespace "$node")\b"; then
            # Whatever still runs there, such as a study that was started with `in`.
            ip netns pids "$(namespace "$node")" | xargs -r kill -9 2>/dev/null || true
            ip netns del "$(namespace "$node")"
        fi
    done
}

case "$action" in
up) up || { down; exit 1; } ;;
in) on_controller "$@" ;;
kill) kill_node "$1" ;;
start) start_node "$1" ;;
down) down ;;
*) echo "unknown: $action" >&2; exit 2 ;;
esac

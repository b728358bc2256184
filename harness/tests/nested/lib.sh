# What cases share.

# busybox's own looks where there is nothing. A module's list is of itself and all that it needs.
modprobe() {
    for module; do
        case $module in -*) continue ;; esac
        while read -r name || test -n "$name"; do
            test -e "/sys/module/$name" || insmod "/modules/$name.ko" || return 1
        done <"/modules/$(echo "$module" | tr - _)"
    done
}

# An administrator looks what is on a drive. busybox has no such program.
lsblk() {
    true
}

# The block device of the drive with this serial: names move.
node() {
    echo "/dev/$(basename "$(dirname "$(dirname "$(grep -lx "$1 *" /sys/block/nvme*/device/serial)")")")"
}

# The driver that has the function at this address.
driver() {
    basename "$(readlink "/sys/bus/pci/devices/$1/driver" || echo none)"
}

# The volume label of the ext4 on the drive with this serial: 16 bytes, 0x78 behind the superblock's
# beginning (Documentation/filesystems/ext4/super.rst).
label() {
    dd "if=$(node "$1")" bs=1 skip=1144 count=16 2>/dev/null | tr -d '\0'
    echo
}

# begin SCENARIO DEVICE...: becomes a run of one of the test's own scenarios on a device.
begin() {
    scenario=$1
    shift
    cd /srv/project && exec diorama --results "/tmp/results-$scenario" run "ci/$scenario.toml" \
        --device "$@" --plain --offline
}

# The same, waited for.
measure() {
    (begin "$@")
}

# What executed a scenario's guests.
accel() {
    grep -o '"accel": "[a-z]*"' "/tmp/results-$1/latest/results.json"
}

# Waits until vfio-pci has the function at this address, and QEMU has it.
passed() {
    tries=0
    until test "$(driver "$1")" = vfio-pci && grep -lq "host=$1" /proc/[0-9]*/cmdline 2>/dev/null; do
        tries=$((tries + 1))
        test $tries -lt 600 || return 1
        sleep 0.1
    done
}

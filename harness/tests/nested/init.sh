#!/bin/sh
# The first process of the outer machine. Its words on the console are read by the test: what stands
# between `@case NAME` and `@exit CODE` is what that case said.
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
# The kernel says only that it dies: whatever else it says stands between the lines of a case.
dmesg -n 1
mkdir -p /dev/shm /run
mount -t tmpfs tmp /tmp
mount -t tmpfs shm /dev/shm
ip link set lo up
hostname outer
export HOME=/root TERM=dumb
# Everything takes thirty times as long here.
export DIORAMA_DEADLINE=600
export DIORAMA_ROOT=/srv/project DIORAMA_CACHE=/srv/cache DIORAMA_AGENT=/opt/diorama/diorama-agent

# case NAME USER LOCKED: runs /srv/cases/NAME; the user may lock so many KiB of memory.
case_() {
    echo "@case $1"
    chown -R "$2" /srv/cache
    (
        ulimit -l "$3"
        su -p -s /bin/sh "$2" -c "cd /tmp && sh '/srv/cases/$1'" </dev/null >/run/said 2>&1
        echo $? >/run/exit
    )
    cat /run/said
    echo
    echo "@exit $(cat /run/exit)"
}

. /srv/cases.sh
echo "@end"
poweroff -f

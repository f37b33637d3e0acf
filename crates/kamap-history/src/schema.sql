-- Times are nanoseconds since boot, suspend included (CLOCK_BOOTTIME), of the one boot of this file;
-- `clocks` converts them. Texts are TEXT, or BLOB where they are not UTF-8.

-- The boot, one row.
CREATE TABLE boots (
    boot_id TEXT NOT NULL,          -- /proc/sys/kernel/random/boot_id
    host TEXT NOT NULL,             -- name of the machine
    version TEXT NOT NULL,          -- of the kamap that began this file
    since INTEGER NOT NULL          -- when it began
);

-- When the machine booted, by the clock as it was set from `since` on.
CREATE TABLE clocks (
    since INTEGER PRIMARY KEY,
    boot_time INTEGER NOT NULL      -- nanoseconds since 1970
);

CREATE TABLE strings (
    id INTEGER PRIMARY KEY,
    text NOT NULL
);

-- What processes executed.
CREATE TABLE commands (
    id INTEGER PRIMARY KEY,
    exe,                            -- path of the executable; NULL: none, or not known
    file,                           -- as the caller of execve named it; NULL: not recorded
    args,                           -- JSON array; a BLOB of arguments that end in NUL where they are not UTF-8
    cut INTEGER NOT NULL,           -- what is truncated: 1 exe, 2 file, 4 args
    redacted INTEGER NOT NULL       -- 1: something was left out of args, and marked there
);

CREATE TABLE cgroups (
    id INTEGER PRIMARY KEY,         -- as bpf_get_current_cgroup_id: inode number of its folder
    path                            -- as in /proc/PID/cgroup; NULL: it vanished before it was looked up
);

-- A life is that of a process, from fork to exit. Its values are as of its last event in this file.
CREATE TABLE lives (
    id INTEGER PRIMARY KEY,         -- in the order in which they were first seen; one series for all files
    pid INTEGER NOT NULL,
    start INTEGER NOT NULL,         -- with boot and PID this identifies the process
    seen INTEGER,                   -- when it was first seen, if that was not its fork
    parent INTEGER,                 -- life of the parent when it was first seen
    last_parent INTEGER,            -- life of the parent at its last event, if that is another one
    origin INTEGER,                 -- 0 alive before, 1 fork, 2 exec; NULL: known only as a parent
    kernel_thread INTEGER NOT NULL,
    execs INTEGER NOT NULL,         -- since it was watched
    first_command INTEGER,          -- before its first exec in this file; NULL: as `command`
    first_comm INTEGER,             -- the same: NULL where it is as below
    first_uid INTEGER,
    first_gid INTEGER,
    first_cgroup INTEGER,
    command INTEGER,
    comm INTEGER NOT NULL,          -- strings
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    cgroup INTEGER NOT NULL,        -- cgroups
    end INTEGER,                    -- NULL: it was alive when this file ended
    status INTEGER,                 -- as wait(2) gives it; NULL with `end`: it was gone by then, its exit was lost
    cpu INTEGER,                    -- nanoseconds
    rss INTEGER                     -- most resident memory, in bytes
);
CREATE INDEX lives_by_end ON lives (end);
CREATE INDEX lives_by_pid ON lives (pid);

-- All execs; of a life that goes on from the file before also the last one from there.
CREATE TABLE execs (
    life INTEGER NOT NULL,
    time INTEGER NOT NULL,
    number INTEGER NOT NULL,        -- of the execs of this life
    command INTEGER NOT NULL,
    comm INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    cgroup INTEGER NOT NULL,
    PRIMARY KEY (life, time)
) WITHOUT ROWID;

-- What changed in a life without an exec, as of when that was noticed.
CREATE TABLE changes (
    life INTEGER NOT NULL,
    time INTEGER NOT NULL,
    parent INTEGER,                 -- life
    comm INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    gid INTEGER NOT NULL,
    cgroup INTEGER NOT NULL,
    PRIMARY KEY (life, time)
) WITHOUT ROWID;

CREATE TABLE failed_execs (
    life INTEGER NOT NULL,
    time INTEGER NOT NULL,
    errno INTEGER NOT NULL,
    command INTEGER NOT NULL,       -- file and arguments are those of the attempt
    PRIMARY KEY (life, time)
) WITHOUT ROWID;

-- What was lost, and when: after `since`, the last event before, and by `time`, when that was reported.
CREATE TABLE losses (
    since INTEGER NOT NULL,
    time INTEGER NOT NULL,
    cause TEXT NOT NULL,            -- ring_full, table_full, missed_runs
    count INTEGER NOT NULL
);

-- When all was recorded: the table of any moment in one of these is exact. Between them nothing was
-- recorded, or something was lost.
CREATE TABLE spans (
    since INTEGER PRIMARY KEY,
    until INTEGER NOT NULL
);

-- Where the recorder goes on, one row.
CREATE TABLE position (
    stream INTEGER NOT NULL,        -- which stream of this boot
    next_seq INTEGER NOT NULL
);

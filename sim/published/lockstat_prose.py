"""What docs/explanation/lockstat.md says in words."""

HEAD = """# A real machine's locks, counted

A Linux 6.12 with 2 CPUs, thus 2 nodes, ran its own test of vmalloc with lock statistics on: [fifteen
files](../../configs/published/lockstat-smp2/README.md) of /proc/lock_stat. Here the same fifteen loads of the
test module run in one boot, in the same order, on kernel 6.10's flows, which are 6.12's:

```sh
./dev run configs/published/lockstat.toml
python -m sim.published.lockstat    # runs it and writes this page
```

**Predicted**: every count below; no constant was fitted to them. The rules below were found by looking at where
counts differed, and one of them, who is first at a tick, was chosen by that. What the scenario takes from the
machine are times: how long a lock is held (lock_stat's means), how long an allocation takes besides (such that a
load's workers take as long as by the test's own summaries), how long a flush, modprobe and the shell take. They
decide who runs where when a purge comes, and so which pool is asked.
"""

TOGETHER = """Acquisitions per pair of allocation and free by lock and number of threads, five tests together: the
kernel's, ours (the mean of {seeds} seeds), the error.
"""

CONTENDED = """Which of them are contended: the share of acquisitions that had to wait, the kernel's, ours with the
scenario's own seed.
"""

DRAINS = """## Drains

What `drain_vmap_work` did: the kernel's (its trace is beside its files), ours with the scenario's own seed. It
purges what is too much; what is freed in the meantime it purges right after that. **ms later** is how long after
the first purge the second one ended, on average, and **later than a tick** how many of them ended more than 4 ms
later: if they are of a few areas they had to wait for the CPU.
"""

CHANCE = """## What chance does

With {seeds} seeds (`--seeds {seeds}`): the mean of our counts, the range of the middle 95 % of them, and **in**
where the kernel's count lies in that range, else by how much our mean is off. The kernel's one run, where it is
in, cannot be told from a run of the model; where it is not, the model misses something, if only another kind of
chance. Narrow ranges are missed by a handful of areas, as most of `busy` and `lazy` are. Of five tests, how many
are in, and how many means are within 2 % ({means} in all; with the scenario's own seed alone {own}):
"""

WHY = """## What it takes

Each of these was missing at first, and shows in the counts:

- **Loading the module is part of the test.** Changes of permissions purge five times before the workers run and
  freeing its parts four times after, and every purge lets the pools decay by a quarter: of 6,000 areas that the
  first run of `fix1p` leaves, 601 are there for the second.
- **A drain takes a CPU.** With one worker the drain's kworker preempts it, and at the next tick the idle CPU
  pulls the worker over: it goes on from the *other* node's pool, which is empty. That is why `fix20p-t1` takes
  the free lock 0.69 times a pair, and `fix20p-t2`, where no CPU is idle, 0.34 times.
- **Who runs is EEVDF's choice**, with deadlines, lag and delayed dequeue (`sim/vmalloc_test/eevdf.py`). A kworker
  that is woken in the first slice after a tick waits for the next tick, where threads take turns even for the one
  after that; one that is owed time begins at once. Of the 27 drains of `fix20p-t4` in the trace 10 have purged up
  to 3 areas more than the bound, the others 10 to 65: a tick is 44. And one that is preempted waits for a turn of
  each thread: a third of the second purges end 5 to 15 ms later instead of 0.7.
- **A CPU's kworkers are one at a time at work** (concurrency management), and the one that was last is woken first,
  so that it is the same one that owes or is owed. kvfree_rcu()'s work is for an unbound queue, of the CPU that
  collected it where CPUs share no cache, as here.
- **Other work makes a kworker be owed time.** Once a second it updates its CPU's statistics (`vmstat_update()`). If
  it had to wait for that, its lag is positive when it sleeps, and so when the next drain wakes it.
- **At a tick the idle CPU is first**: it pulls the worker before the worker's own CPU picks it again. On the
  machine the two race, and by the CPUs of its kworkers in the trace the worker has moved after 10 of 16 drains of
  `rand-t1`. Where its own CPU is always first, it moves in every drain or in a quarter of them, by whether one that
  was preempted within the last half millisecond may be pulled (`task_hot()`), and the free lock is taken a quarter
  too often or too seldom.
- **The host stops a virtual CPU** 3.6 times in a second of its running, for 4.3 ms on average: that is what makes
  the longest holds of locks likeliest (`python -m sim.published.stops`). A CPU that stands still while another
  one's drain runs frees nothing then, and the drain has no second purge.
- **A drain that is queued while one runs comes after it**: two purges each time that the bound is passed, not
  three. It runs from when its kworker has the CPU; until then every free finds it queued.
- **A flush waits for all CPUs**, and for one that is idle to wake. With all of them busy it takes 0.2 to 0.6 ms:
  then the drains of four workers, which mostly begin at a tick, are sometimes over before the next one, and
  sometimes not.
- **What decays is merged, and that takes time**, 1 us for each area.
- **The pool's lock can be had between two areas of a purge**: otherwise nobody contends for it.
- **Holds differ, and vary.** Where each lock is always held for 2.7 us, two workers fall into step: the one that
  had to wait for the busy lock arrives at the free lock just when the other one has done, and with 2 threads of
  `fix1p` 0.8 % had to wait there, of the machine's 6.7 %.
- **kvfree_rcu() collects**, by pages of 507 pointers. A CPU's monitor comes at the second tick after a page is
  full, and hands over whatever is there by then. A kworker of that CPU frees it; the worker is pulled to the idle
  one, and leaves part of a page behind. Such parts follow 5 seconds after their first area: on the machine 802
  areas are missing in `kvfree2-t1`, and are freed in `rand-t2`, three tests later.
- **Chance.** Workers that always take equally long fall into step, too. Nor is one worker as fast as another: by
  the test's own summaries, their means in a run have a standard deviation of 9 %.

## What is left out

- What is not within 2 % is mostly the free lock and, by as many acquisitions, the pools': which of the two an
  allocation takes hangs on whose pool has something. With one worker a drain lasts about a tick, 4 ms. One that
  ends before it moves no worker and lets none run; one that does not lets some fifty allocations find empty pools.
  So each of a dozen drains counts for some percent, and one run of `fix20p-t1` or `rand-t1` proves little.
- In `rand-t4` the free lock is taken too often by most. There a second purge takes nearly all from the pools that
  the first one put there (a class of up to three areas decays to nothing); a drain without a second one leaves some
  300 areas to be had. The machine had a few more of those than we have on average.
- In `fix20p` a drain counts for 4 % of the free lock. Whether there are 27 or 28 of them with four threads hangs
  on a few areas: the machine's first run ended 5 areas before its fourteenth.
- What the CPUs' pages hold when `kvfree2-t1` ends is missing in that load, and comes in `rand-t2`. It is chance,
  and the machine's was large: here none to some 900 areas and 260 on average, there 802.
- How long a load's pages take is the machine's of that load, and all else is as fast in every load. With one worker
  drains took longer there, second purges too. In `fix20p-t2` two of its 28 purges took 18 ms for
  fewer than 110 areas, and one drain 42 ms.
- While areas decay the kernel merges them aside, and whoever asks their class finds it empty; then their ranges go
  into the free tree under its lock. Here classes are never detached, and all the time is under the lock. (The
  longest hold of the free lock in `fix1p-t1`, where 1,500 areas decay at once, is 632 us.)
- How long a grace period takes is the shortest of a recorded trace of another machine, 26 ms, for all.
- Only CPUs that are idle pull threads: the kernel also balances busy ones, every 32 ms or more, and pushes a thread
  that runs where pulling has failed several times. RCU's threads and softirqs take no time, and what modprobe waits
  for between two parts keeps its CPU. A thread is preempted by another one between operations only, and who waits
  for a CPU looks every 50 us.
- The mean hold of the free lock is one figure for all loads; on the machine it was 3.3 to 9.5 us, by load.
- Kernel threads' stacks are one for each worker; the machine also had those of its shell.
"""

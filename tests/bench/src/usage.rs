//! CPU time and memory of a server and of what it started, read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// User and system time so far of those processes and all that they started.
pub(crate) fn cpu(roots: &[u32]) -> anyhow::Result<Duration> {
    let processes = family(roots)?;
    // One that ended in between has nothing to add.
    let stats = processes.into_iter().filter_map(|one| Stat::read(one).ok());
    Ok(stats.map(|stat| stat.cpu).sum())
}

/// User and system time so far of this process alone: load, receivers and counting.
pub(crate) fn own_cpu() -> anyhow::Result<Duration> {
    Ok(Stat::read(std::process::id())?.cpu)
}

/// Memory resident now of those processes and all that they started; what several
/// share is counted once.
pub(crate) fn resident_bytes(roots: &[u32]) -> anyhow::Result<u64> {
    let processes = family(roots)?;
    let sizes = processes
        .into_iter()
        .filter_map(|one| proportional_bytes(one).ok());
    Ok(sizes.sum())
}

fn family(roots: &[u32]) -> anyhow::Result<Vec<u32>> {
    let mut family = roots.to_vec();
    let mut others = Vec::new();
    for entry in fs::read_dir("/proc").context("could not list processes")? {
        let name = entry?.file_name();
        if let Some(process) = name.to_str().and_then(|name| name.parse::<u32>().ok())
            && let Ok(stat) = Stat::read(process)
        {
            others.push((process, stat.parent));
        }
    }
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = others.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(process, _)| process));
        next += 1;
    }
    Ok(family)
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

impl Stat {
    fn read(process: u32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The command stands in brackets and may hold spaces.
        let (_, rest) = stat.rsplit_once(')').context("no command in stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| -> anyhow::Result<u64> {
            Ok(fields.get(number - 3).context("stat is short")?.parse()?)
        };
        let ticks = field(14)? + field(15)?;
        let second = rustix::param::clock_ticks_per_second();
        Ok(Self {
            parent: u32::try_from(field(4)?)?,
            cpu: Duration::from_micros(ticks * 1_000_000 / second),
        })
    }
}

fn proportional_bytes(process: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .context("no Pss")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_this_process_are_seen() {
        let own = [std::process::id()];
        let (cpu_before, bytes_before) = (cpu(&own).unwrap(), resident_bytes(&own).unwrap());
        let held = vec![1_u8; 64 << 20];
        let mut sum = 0_u64;
        for _ in 0..20 {
            sum += held.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        let (cpu_after, bytes_after) = (cpu(&own).unwrap(), resident_bytes(&own).unwrap());
        assert_eq!(sum, 20 * (64 << 20));
        assert!(cpu_after > cpu_before, "{cpu_before:?} {cpu_after:?}");
        assert!(bytes_after >= bytes_before + (60 << 20));
    }
}

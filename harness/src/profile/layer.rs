//! The layers of the I/O path, and which one a chain of functions belongs to.
//!
//! Every chain is booked in exactly one layer: that of its innermost function which names one.
//! Functions that anybody may call (memcpy, locks, RCU, radix trees, per-CPU counters) name none, so
//! they take the layer of whoever called them. Two things come before: what moves the modelled
//! drive's data, with everything it calls, is the drive's ([`super::drive`]); and an interrupt ends
//! the search, because what it interrupted did not call it.
//!
//! The names are those of Linux 5.4 to 7.2; a name that a kernel does not have does no harm.

use super::{
    USER,
    drive::{self, Mover},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::LazyLock};

/// A layer of the I/O path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// User space: the agent's engine, or fio.
    Agent,
    /// The way into the kernel by a system call, and back.
    SyscallEntry,
    /// AIO and io_uring.
    AsyncIo,
    /// Files, inodes' times and rights, the page cache.
    Vfs,
    /// ext4 with its journal, XFS.
    FileSystem,
    /// iomap, and the direct I/O of before (fs/direct-io.c).
    Iomap,
    /// bios, blk-mq, I/O schedulers.
    Block,
    /// The modelled drive: request handling, which stands in for a driver's.
    DriveRequests,
    /// The modelled drive: finding and moving data, which a real drive's DMA does.
    DriveData,
    /// Interrupts' entry and exit, softirqs, timers.
    Interrupt,
    /// Workqueues: queueing, and the workers' own loop.
    Workqueue,
    /// Wake-ups, choice of the next task, switches, idling.
    Scheduler,
    /// Slab and page allocation, pinning of pages, page faults.
    Memory,
    /// What no rule names.
    Other,
}

impl Layer {
    /// Every layer, in the order of an I/O's way down and back.
    pub const ALL: [Layer; 14] = [
        Layer::Agent,
        Layer::SyscallEntry,
        Layer::AsyncIo,
        Layer::Vfs,
        Layer::FileSystem,
        Layer::Iomap,
        Layer::Block,
        Layer::DriveRequests,
        Layer::DriveData,
        Layer::Interrupt,
        Layer::Workqueue,
        Layer::Scheduler,
        Layer::Memory,
        Layer::Other,
    ];

    /// As tables name it.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Layer::Agent => "agent",
            Layer::SyscallEntry => "syscall entry",
            Layer::AsyncIo => "AIO/io_uring",
            Layer::Vfs => "VFS",
            Layer::FileSystem => "file system",
            Layer::Iomap => "iomap/direct-io",
            Layer::Block => "block",
            Layer::DriveRequests => "drive: requests",
            Layer::DriveData => "drive: data",
            Layer::Interrupt => "timer and interrupt",
            Layer::Workqueue => "workqueue",
            Layer::Scheduler => "scheduler",
            Layer::Memory => "memory",
            Layer::Other => "other",
        }
    }

    /// The layer of a chain, the outermost function first; `mover` is that of the chain's profile.
    #[must_use]
    pub fn of(frames: &[String], mover: &Mover<'_>) -> Layer {
        if mover.moves(frames) {
            return Layer::DriveData;
        }
        let called = drive::called(frames).iter();
        let named = called.rev().find_map(|f| of_function(f));
        named.unwrap_or(Layer::Other)
    }
}

/// The layer that a function names, if it names one: by its whole name, else by the longest
/// beginning that the table has, else by its module.
fn of_function(frame: &str) -> Option<Layer> {
    if frame == USER {
        return Some(Layer::Agent);
    }
    let (name, module) = match frame.split_once(" [") {
        Some((name, module)) => (name, module.strip_suffix(']')),
        None => (frame, None),
    };
    let rules = &*RULES;
    let by_name = || {
        let mut beginnings = (1..=name.len()).rev().filter_map(|n| name.get(..n));
        beginnings.find_map(|beginning| rules.beginnings.get(beginning))
    };
    let found = rules.names.get(name).or_else(by_name);
    found.or_else(|| rules.modules.get(module?)).copied()
}

struct Rules {
    names: HashMap<&'static str, Layer>,
    beginnings: HashMap<&'static str, Layer>,
    modules: HashMap<&'static str, Layer>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules {
        names: HashMap::new(),
        beginnings: HashMap::new(),
        modules: HashMap::new(),
    };
    for (layer, words) in TABLE {
        for word in words.split_whitespace() {
            if let Some(beginning) = word.strip_suffix('*') {
                rules.beginnings.insert(beginning, layer);
            } else if let Some(module) = word.strip_prefix('[') {
                rules.modules.insert(module.trim_end_matches(']'), layer);
            } else {
                rules.names.insert(word, layer);
            }
        }
    }
    rules
});

/// What names a layer: a function (`schedule`), the beginning of functions (`bio_*`), a module
/// (`[xfs]`).
const TABLE: [(Layer, &str); 12] = [
    (
        Layer::SyscallEntry,
        "entry_SYSCALL_64* entry_SYSRETQ_* do_syscall_64 x64_sys_call syscall_* __x64_sys_* __ia32_sys_*
         do_fast_syscall_32 exit_to_user_mode_loop prepare_exit_to_usermode",
    ),
    (
        Layer::AsyncIo,
        "aio_* __io_submit_one io_submit_one io_submit_sqes lookup_ioctx read_events
         io_getevents do_io_getevents __do_sys_io_* __se_sys_io_* __x64_sys_io_* kiocb_set_cancel_fn
         get_reqs_available put_reqs_available refill_reqs_available user_refill_reqs_available
         io_uring_* io_* __io_* tctx_* ctx_flush_and_put loop_rw_iter req_set_fail
         __x64_sys_io_uring_* __arm_poll",
    ),
    (
        Layer::Vfs,
        "vfs_* ksys_* do_iter_readv_writev rw_verify_area fget* fput* __fget* __fdget* fdget*
         new_sync_* __x64_sys_pread64 __x64_sys_pwrite64 __x64_sys_read __x64_sys_write
         __x64_sys_preadv* __x64_sys_pwritev* __x64_sys_fsync __x64_sys_fdatasync do_fsync
         kiocb_* file_update_time* file_modified* file_remove_privs* __file_remove_privs
         file_accessed touch_atime atime_needs_update generic_update_time inode_* __inode_*
         current_time ktime_get_coarse_real_ts64* timestamp_truncate generic_write_checks*
         generic_file_* generic_write_check_* __generic_file_* generic_atomic_write_valid mnt_*
         __mnt_* sb_start_write __sb_* freeze_super security_* apparmor_* aa_* fsnotify* __fsnotify*
         filemap_* __filemap_* invalidate_* truncate_* file_fdatawait* mark_page_accessed
         __mark_inode_dirty file_write_and_wait* should_remove_suid setattr_* dentry_*
         alloc_fd do_iter_* mapping_*",
    ),
    (
        Layer::FileSystem,
        "ext4_* __ext4_* _ext4_* mb_* jbd2_* __jbd2_* start_this_handle add_transaction_credits
         stop_this_handle xfs_* __xfs_* xlog_* btrfs_* __btrfs_* [btrfs] f2fs_* __f2fs_* [f2fs]
         [ext4] [xfs] [jbd2] [mbcache]",
    ),
    (
        Layer::Iomap,
        "iomap_* __iomap_* dio_* __blockdev_direct_IO do_blockdev_direct_IO do_direct_IO
         submit_page_section sb_init_dio_done_wq __sb_init_dio_done_wq get_more_blocks",
    ),
    (
        Layer::Block,
        "bio_* __bio_* submit_bio* __submit_bio* blk_* __blk_* blkcg_* blkg_* __blkg_* blkdev_*
         bdev_* def_blk_* block_* sbitmap_* __sbitmap_* elv_* __elv_* ioc_* rq_qos_* __rq_qos_* rq_list_* wbt_*
         bvec_* bvec_split_segs disk_* part_* update_io_ticks generic_make_request* direct_make_request
         should_fail_bio dd_* bfq_* __bfq_* kyber_* [bfq] [mq-deadline] [kyber-iosched] attempt_merge
         __rq_* req_bio_endio submit_bio_noacct* ll_* get_max_io_size generic_end_io_acct
         generic_start_io_acct get_request_alloc errno_to_blk_status",
    ),
    (
        Layer::DriveRequests,
        "null_* __null_* copy_to_nullb copy_from_nullb [null_blk]",
    ),
    (
        Layer::Interrupt,
        "asm_* sysvec_* __sysvec_* common_interrupt* __common_interrupt interrupt_entry do_IRQ
         ret_from_intr retint_* restore_regs_and_return_to_kernel apic_timer_interrupt
         smp_apic_timer_interrupt swapgs_restore_regs_and_return_to_usermode error_entry
         error_return paranoid_* irqentry_* irq_entries_start handle_irq* __handle_irq*
         handle_edge_irq handle_level_irq handle_fasteoi_irq handle_simple_irq generic_handle_*
         irq_enter* irq_exit* __irq_exit_rcu __irq_enter* invoke_softirq __do_softirq do_softirq*
         __do_softirq_own_stack handle_softirqs raise_softirq* __raise_softirq* __local_bh_enable_ip
         irq_work_* __irq_work_* run_timer_* __run_timer* call_timer_fn expire_timers
         run_local_timers timer_* __timer_* mod_timer* add_timer* del_timer* hrtimer_* __hrtimer_*
         hrtimers_* timerqueue_* enqueue_hrtimer remove_hrtimer lock_hrtimer_base tick_*
         __tick_* update_process_times hpet_* clockevents_* lapic_* apic_* native_apic_* ack_*
         mask_* unmask_* native_eoi* io_apic_* ioapic_* update_wall_time timekeeping_* do_timer
         calc_load_* update_fast_timekeeper profile_tick native_iret handle_percpu_irq note_interrupt
         add_interrupt_randomness __hrtimer_run_queues i8259* mask_and_ack_8259A* disable_8259A*
         enable_8259A*",
    ),
    (
        Layer::Workqueue,
        "queue_work_on __queue_work insert_work insert_wq_* process_one_work process_scheduled_works
         worker_* wq_* kick_pool wake_up_worker* move_linked_works pwq_* __pwq_* queue_delayed_work*
         mod_delayed_work* __queue_delayed_work delayed_work_* set_work_* get_work_* find_worker*
         get_pwq put_pwq* unbound_pwq* queue_rcu_work flush_work* assign_work create_worker
         try_to_grab_pending work_grab_pending kthread_data kthread_worker* kthread need_to_create_worker
         is_chained_work",
    ),
    (
        Layer::Scheduler,
        "schedule schedule_* __schedule __schedule_* preempt_schedule* io_schedule* try_to_wake_up
         wake_up* __wake_up* ttwu_* wakeup_preempt* check_preempt_* default_wake_function
         autoremove_wake_function woken_wake_function swake_up* pick_next_* pick_task_* pick_eevdf
         __pick_* put_prev_* set_next_* dequeue_* enqueue_entity enqueue_task* __enqueue_entity
         __dequeue_entity update_curr* update_load_avg* __update_load_avg* update_cfs_*
         update_rq_clock* update_min_vruntime update_deadline place_entity reweight_* switch_mm*
         __switch_to* switch_fpu_* finish_task_switch* prepare_task_switch context_switch
         sched_tick* scheduler_tick sched_ttwu* sched_balance* sched_idle* sched_switch* sched_move*
         resched_* __resched_* task_tick_* task_fork_* task_woken_* select_task_rq* select_idle_*
         available_idle_cpu psi_* cpuacct_* activate_task deactivate_task block_task swait_*
         prepare_to_wait* finish_wait add_wait_queue* remove_wait_queue init_wait_entry
         newidle_balance load_balance* rebalance_* do_idle cpuidle_* default_idle*
         native_safe_halt arch_cpu_idle* cpu_startup_entry avg_vruntime* vruntime_* entity_* __entity_*
         requeue_* yield_task_* propagate_* attach_entity_* detach_entity_* decay_load
         accumulate_sum trigger_load_balance nohz_* cgroup_rstat_updated account_entity_*
         pv_native_safe_halt ret_from_fork* mm_update_next_owner migrate_task_* complete complete_*
         native_load_tls enter_lazy_tlb choose_new_asid __balance_callbacks*
         raw_spin_rq_* asm_load_gs_index mm_cid_* mm_get_cid sched_mm_cid_* rseq_* __rseq_* update_entity_lag
         update_se hrtick_* perf_event_task_tick task_mm_cid_work thread_group_cputime*
         account_process_tick account_system_* account_user_time account_idle_* irqtime_*
         cpu_util* update_irq_load_avg update_rt_rq_load_avg update_dl_rq_load_avg
         update_other_load_avgs idle_cpu check_cfs_rq_runtime clear_buddies __calc_delta*",
    ),
    (
        Layer::Memory,
        "kmem_cache_* kmalloc* __kmalloc* kfree* kvfree* kvmalloc* __kmem_* slab_* __slab_*
         ___slab_* get_partial* put_cpu_partial unfreeze_partials* memcg_* __memcg_* obj_cgroup_*
         refill_obj_stock consume_obj_stock refill_stock __alloc_pages* alloc_pages* __alloc_frozen*
         alloc_from_pcs* free_to_pcs* __pcs_* free_unref_* free_pages* __free_pages* free_frozen_*
         __free_frozen* get_page_from_freelist rmqueue* prep_new_page post_alloc_hook mempool_*
         gup_* __gup_* get_user_pages* __get_user_pages* pin_user_pages* unpin_user_* __unpin_*
         internal_get_user_pages* gup_put_folio try_grab_* try_get_folio follow_page* put_page
         __put_page folio_* __folio_* lru_* set_page_dirty* page_* free_swap_cache handle_mm_fault
         __handle_mm_fault do_user_addr_fault exc_page_fault asm_exc_page_fault page_fault
         do_page_fault __do_page_fault do_fault do_anonymous_page vm_* vma_* find_vma* lock_vma*
         mmap_* __mmap_* do_mmap* unmap_* flush_tlb_* mod_memcg* __mod_memcg* mod_lruvec*
         __mod_lruvec* mod_node_* __mod_node_* mod_zone_* __mod_zone_* zone_* discard_slab
         allocate_slab shuffle_freelist setup_object* alloc_slab_* percpu_counter_add_batch_mm
         undo_dev_pagemap should_failslab
         damon_* kdamond_* pfn_to_online_page",
    ),
    (Layer::Agent, "vdso_*"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(chain: &str) -> Layer {
        let frames: Vec<String> = chain.split(';').map(str::to_owned).collect();
        Layer::of(&frames, &Mover::default())
    }

    #[test]
    fn the_innermost_function_that_names_a_layer_decides() {
        let write = "entry_SYSCALL_64_after_hwframe;do_syscall_64;__x64_sys_io_submit;io_submit_one;\
                     aio_write;ext4_file_write_iter;iomap_dio_rw;__iomap_dio_rw";
        let below = |rest: &str| of(&format!("{write};{rest}"));
        assert_eq!(of(write), Layer::Iomap);
        assert_eq!(below("ext4_iomap_overwrite_begin"), Layer::FileSystem);
        assert_eq!(below("iomap_dio_bio_iter;bio_alloc_bioset"), Layer::Block);
        assert_eq!(
            below("iomap_dio_bio_iter;bio_alloc_bioset;mempool_alloc;kmem_cache_alloc_noprof"),
            Layer::Memory
        );
        assert_eq!(
            below("submit_bio;blk_mq_submit_bio;null_queue_rq [null_blk];hrtimer_start_range_ns"),
            Layer::Interrupt
        );
        assert_eq!(of("[user]"), Layer::Agent);
        assert_eq!(
            of("entry_SYSCALL_64;do_syscall_64;__x64_sys_getpid"),
            Layer::SyscallEntry
        );
        assert_eq!(of("[unknown]"), Layer::Other);
    }

    #[test]
    fn what_anybody_may_call_belongs_to_its_caller() {
        for helper in [
            "memset",
            "memcpy",
            "_raw_spin_lock_irqsave",
            "__radix_tree_lookup",
            "rcu_read_lock",
            "up_read",
            "down_read_trylock",
            "percpu_counter_add_batch",
            "xas_load",
            "ktime_get",
            "strcmp",
            "__x86_indirect_thunk_rax",
            "rb_insert_color",
            "llist_add_batch",
            "read_tsc",
            "mutex_lock",
            "refcount_dec_and_lock",
            "iov_iter_advance",
            "iov_iter_extract_pages",
            "preempt_count_add",
            "_copy_from_iter",
            "copy_user_generic_string",
            "task_work_run",
            "exit_to_user_mode_prepare",
            "sched_clock",
            "rcu_note_context_switch",
        ] {
            assert_eq!(of_function(helper), None, "{helper}");
            assert_eq!(of(&format!("xfs_ilock [xfs];{helper}")), Layer::FileSystem);
            assert_eq!(of(&format!("bio_endio;{helper}")), Layer::Block);
            assert_eq!(of(helper), Layer::Other);
        }
    }

    #[test]
    fn an_interrupt_is_not_its_victims() {
        let victim = "do_syscall_64;aio_write;ext4_file_write_iter;blk_mq_submit_bio;\
                      null_queue_rq [null_blk];null_handle_rq [null_blk];copy_to_nullb [null_blk]";
        assert_eq!(of(&format!("{victim};memcpy")), Layer::DriveData);
        for (interrupt, layer) in [
            (
                "asm_sysvec_apic_timer_interrupt;rcu_irq_enter",
                Layer::Interrupt,
            ),
            (
                "asm_common_interrupt;common_interrupt;hrtimer_interrupt",
                Layer::Interrupt,
            ),
            ("common_interrupt;do_IRQ;handle_irq", Layer::Interrupt),
            (
                "asm_common_interrupt;hrtimer_interrupt;__hrtimer_run_queues;\
                 null_cmd_timer_expired [null_blk];memset",
                Layer::DriveRequests,
            ),
            (
                "asm_common_interrupt;null_cmd_timer_expired [null_blk];blk_mq_end_request;bio_endio;\
                 iomap_dio_bio_end_io;queue_work_on;__queue_work;kick_pool;wake_up_process;\
                 try_to_wake_up;_raw_spin_lock_irqsave",
                Layer::Scheduler,
            ),
            (
                "asm_common_interrupt;bio_endio;iomap_dio_bio_end_io;queue_work_on;insert_work",
                Layer::Workqueue,
            ),
        ] {
            assert_eq!(of(&format!("{victim};{interrupt}")), layer, "{interrupt}");
        }
    }

    #[test]
    fn a_worker_s_loop_is_the_workqueues_and_what_it_runs_is_not() {
        let worker = "ret_from_fork;kthread;worker_thread;process_one_work";
        assert_eq!(of(worker), Layer::Workqueue);
        let complete = format!("{worker};iomap_dio_complete_work;iomap_dio_complete");
        assert_eq!(of(&complete), Layer::Iomap);
        assert_eq!(
            of(&format!("{complete};aio_complete_rw;aio_complete")),
            Layer::AsyncIo
        );
        let sleeps = "ret_from_fork;kthread;worker_thread;schedule";
        assert_eq!(
            of(&format!("{sleeps};__schedule;dequeue_task_fair")),
            Layer::Scheduler
        );
        assert_eq!(
            of(&format!("{sleeps};wq_worker_sleeping")),
            Layer::Workqueue
        );
    }

    #[test]
    fn io_urings_names_end_where_others_begin() {
        assert_eq!(of_function("io_issue_sqe"), Some(Layer::AsyncIo));
        assert_eq!(of_function("io_schedule_timeout"), Some(Layer::Scheduler));
        assert_eq!(of_function("io_apic_modify"), Some(Layer::Interrupt));
        assert_eq!(
            of_function("__x64_sys_io_uring_enter"),
            Some(Layer::AsyncIo)
        );
        assert_eq!(of_function("block_task"), Some(Layer::Scheduler));
        assert_eq!(of_function("asm_exc_page_fault"), Some(Layer::Memory));
        assert_eq!(of_function("asm_load_gs_index"), Some(Layer::Scheduler));
    }

    #[test]
    fn modules_decide_where_names_do_not() {
        assert_eq!(of_function("helper [xfs]"), Some(Layer::FileSystem));
        assert_eq!(of_function("memset [xfs]"), Some(Layer::FileSystem));
        assert_eq!(
            of_function("null_queue_rq [null_blk]"),
            Some(Layer::DriveRequests)
        );
        assert_eq!(of_function("hash [crc32c_intel]"), None);
    }

    #[test]
    fn no_word_of_the_table_stands_for_two_layers() {
        let mut seen = HashMap::new();
        for (layer, words) in TABLE {
            for word in words.split_whitespace() {
                if let Some(other) = seen.insert(word, layer) {
                    assert_eq!(other, layer, "{word}");
                }
            }
        }
        for layer in Layer::ALL {
            let titles = Layer::ALL.iter().filter(|l| l.title() == layer.title());
            assert_eq!(titles.count(), 1, "{layer:?}");
        }
    }
}

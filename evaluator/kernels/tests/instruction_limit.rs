//! Tests `InstructionSet::limit`. The limit applies to the whole process, so this test has its own test
//! program.

use kiln_kernels::InstructionSet;

#[test]
fn limit_holds_on_all_threads_unless_a_set_is_forced() {
    let fastest = InstructionSet::best();
    for limit in InstructionSet::ALL {
        limit.limit();
        assert_eq!(InstructionSet::best(), limit.min(fastest));
        assert_eq!(InstructionSet::current(), limit.min(fastest));
        assert_eq!(fastest.force(InstructionSet::current), fastest);
        let elsewhere = std::thread::spawn(InstructionSet::current).join().unwrap();
        assert_eq!(elsewhere, limit.min(fastest), "other threads have the same limit");
    }
}

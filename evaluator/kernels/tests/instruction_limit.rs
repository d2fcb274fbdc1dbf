//! The limit of instruction sets, which holds for a whole process and so has a test program of its own.

use kiln_kernels::InstructionSet;

#[test]
fn nothing_faster_than_the_limit_is_used_unless_forced() {
    let fastest = InstructionSet::best();
    for limit in InstructionSet::ALL {
        limit.limit();
        assert_eq!(InstructionSet::best(), limit.min(fastest));
        assert_eq!(InstructionSet::current(), limit.min(fastest));
        assert_eq!(fastest.force(InstructionSet::current), fastest);
        let elsewhere = std::thread::spawn(InstructionSet::current).join().unwrap();
        assert_eq!(elsewhere, limit.min(fastest), "threads have it too");
    }
}

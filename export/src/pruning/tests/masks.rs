use kiln_space::Sparsity;

use super::super::*;

fn kept(mask: &Mask) -> Vec<usize> {
    (0..mask.kept().len()).filter(|index| mask.kept()[*index]).collect()
}

fn half() -> Sparsity {
    Sparsity::Unstructured { permille: 500 }
}

#[test]
fn weights_of_smallest_magnitude_become_zero() {
    let scores = scores::magnitude(&[0.1, -0.5, 0.0, 0.3, -0.2, 0.4]);
    let mask = |sparsity| Mask::new(sparsity, &[2, 3], &scores);
    assert_eq!(kept(&mask(half())), [1, 3, 5]);
    // 34 % of 6 weights is rounded down to two weights.
    assert_eq!(kept(&mask(Sparsity::Unstructured { permille: 340 })), [1, 3, 4, 5]);
    assert_eq!(mask(Sparsity::Dense).zeros(), 0);
}

#[test]
fn an_n_of_m_group_holds_neighboring_input_channels_at_one_kernel_position() {
    // One output, five inputs, two kernel positions. The fifth input is not part of a whole group.
    let scores = [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0, 0.0, 0.0];
    let mask = Mask::new(Sparsity::NOfM { n: 2, m: 4 }, &[1, 5, 1, 2], &scores);
    assert_eq!(kept(&mask), [1, 3, 4, 6, 8, 9]);
    let equal = Mask::new(Sparsity::NOfM { n: 1, m: 2 }, &[2, 2], &[1.0; 4]);
    assert_eq!(kept(&equal), [0, 2]);
}

#[test]
fn pruned_weights_come_back_only_with_soft_masking() {
    let first = Mask::new(half(), &[1, 4], &[1.0, 2.0, 3.0, 4.0]);
    assert_eq!(kept(&first), [2, 3]);
    // Weight 0 became the largest one.
    let scores = [9.0, 2.0, 3.0, 4.0];
    let next = |masking| {
        let mut mask = first.clone();
        mask.update(masking, half(), &scores);
        kept(&mask)
    };
    assert_eq!(next(Masking::Soft), [0, 3]);
    assert_eq!(next(Masking::Hard), [2, 3]);
    let mut mask = first;
    mask.update(Masking::Hard, Sparsity::Unstructured { permille: 750 }, &scores);
    assert_eq!(kept(&mask), [3]);
    let mut weights = [f32::INFINITY, -1.0, 2.0, 5.0];
    mask.apply(&mut weights);
    assert_eq!(weights.map(f32::to_bits), [0.0_f32, 0.0, 0.0, 5.0].map(f32::to_bits));
    let factors: Vec<u32> = mask.factors().into_iter().map(f32::to_bits).collect();
    assert_eq!(factors, [0.0_f32, 0.0, 0.0, 1.0].map(f32::to_bits));
}

#[test]
fn stated_sparsity_is_what_the_weights_have() {
    let weights = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0];
    let of = |claimed| stated(claimed, &[1, 8], &weights);
    assert_eq!(of(half()), Sparsity::Unstructured { permille: 375 });
    assert_eq!(of(Sparsity::Unstructured { permille: 300 }), Sparsity::Unstructured { permille: 300 });
    let pattern = Sparsity::NOfM { n: 3, m: 4 };
    assert_eq!(of(pattern), pattern);
    assert_eq!(of(Sparsity::NOfM { n: 2, m: 4 }), Sparsity::Dense, "the second group has three weights");
    // What a mask leaves always has the mask's sparsity.
    for permille in [1, 250, 333, 999] {
        let sparsity = Sparsity::Unstructured { permille };
        let mut weights: Vec<f32> = (1..=30).map(|value| value as f32).collect();
        Mask::new(sparsity, &[3, 10], &scores::magnitude(&weights)).apply(&mut weights);
        assert_eq!(stated(sparsity, &[3, 10], &weights), sparsity);
    }
}

#[test]
fn shares_of_100_percent_and_impossible_shares_are_refused() {
    assert_eq!(sparsity_of(0.7).unwrap(), Sparsity::Unstructured { permille: 700 });
    assert_eq!(sparsity_of(0.0).unwrap(), Sparsity::Dense);
    assert_eq!(sparsity_of(0.9999).unwrap(), Sparsity::Unstructured { permille: 999 });
    for share in [1.0, 1.5, -0.1, f64::NAN] {
        let message = sparsity_of(share).unwrap_err().to_string();
        let expected = format!("the share to remove is {share}, expected at least 0 and less than 1 (100 %)");
        assert_eq!(message, expected);
        assert!(target(10.0, share).is_err());
    }
    assert!(target(f64::INFINITY, 0.5).is_err());
}

#[test]
fn ramp_is_cubic_between_its_ends() {
    let ramp = Ramp { begin: 10, end: 20, initial: 0.2, target: 0.9 };
    // At 4/10 of the way: 0.9 - 0.7 * 0.6^3.
    let expected = [(0, 0.0), (9, 0.0), (10, 0.2), (14, 0.7488), (20, 0.9), (99, 0.9)];
    for (step, share) in expected {
        assert!((ramp.share(step) - share).abs() < 1e-12, "step {step}: {}", ramp.share(step));
    }
    let shares: Vec<f64> = (0..30).map(|step| ramp.share(step)).collect();
    assert!(shares.is_sorted());
    let at_once = Ramp::one_shot(3, 0.5);
    assert_eq!([2, 3, 4].map(|step| at_once.share(step).to_bits()), [0.0, 0.5, 0.5].map(f64::to_bits));
}

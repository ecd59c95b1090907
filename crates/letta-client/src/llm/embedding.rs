//! Embeddings that are the same every time, and near each other for texts that share words.

use super::hash::StableHash;

/// How many numbers an embedding has when the request does not say: those of `text-embedding-3-small`.
pub const DEFAULT_EMBEDDING_DIMENSIONS: usize = 1536;

/// The sum of one pseudo-random direction per word (and a faint one for the whole text), with length 1.
pub(super) fn embed(seed: u64, text: &str, dimensions: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; dimensions];
    add_direction(&mut sum, StableHash::new(seed).text(text), 0.25);
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        add_direction(
            &mut sum,
            StableHash::new(seed).text(&word.to_lowercase()).number(1),
            1.0,
        );
    }
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length == 0.0 {
        return vec![0.0; dimensions];
    }
    #[expect(clippy::cast_possible_truncation, reason = "providers send single precision")]
    sum.iter().map(|x| (x / length) as f32).collect()
}

fn add_direction(sum: &mut [f64], source: StableHash, weight: f64) {
    let mut position = 0;
    for slot in sum {
        position += 1;
        // The top 32 bits as a number from -1 to 1.
        let bits = u32::try_from(source.number(position).finish() >> 32).unwrap_or(0);
        *slot += weight * (f64::from(bits) / f64::from(u32::MAX)).mul_add(2.0, -1.0);
    }
}

//! A list in parts, none of which outgrows a message.

use prost::Message;

/// The most bytes of a part, unless one thing alone is larger. Well below the kubelet's bound of a message.
const LARGEST: usize = 1 << 20;

/// Splits a list. No part is empty, and nothing comes twice.
pub fn parts<T: Message>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> + use<T> {
    let mut items = items.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut part = vec![items.next()?];
        let mut size = part[0].encoded_len();
        while let Some(next) = items.next_if(|next| {
            size += next.encoded_len();
            size <= LARGEST
        }) {
            part.push(next);
        }
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::runtime::v1::Image;

    fn image(size: usize) -> Image {
        Image { id: "x".repeat(size), ..Image::default() }
    }

    #[test]
    fn parts_are_bounded_and_complete() {
        assert_eq!(parts(Vec::<Image>::new()).count(), 0);
        let images: Vec<_> = (0..5000).map(|number| image(number % 1000)).collect();
        let parts: Vec<_> = parts(images.clone()).collect();
        assert!(parts.len() > 1);
        assert!(parts.iter().all(|part| part.iter().map(Message::encoded_len).sum::<usize>() <= LARGEST));
        assert_eq!(parts.concat(), images);
    }

    #[test]
    fn what_is_too_large_comes_alone() {
        let sizes = |part: &Vec<Image>| part.iter().map(|image| image.id.len()).collect::<Vec<_>>();
        let images = vec![image(1), image(2 * LARGEST), image(2 * LARGEST), image(3), image(4)];
        let parts: Vec<_> = parts(images).map(|part| sizes(&part)).collect();
        assert_eq!(parts, [vec![1], vec![2 * LARGEST], vec![2 * LARGEST], vec![3, 4]]);
    }
}

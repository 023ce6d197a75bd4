//! A tar archive, read entry by entry with everything bounded.
//!
//! Long names and PAX records are read up to a limit, where the common reader would take any amount of memory. Only
//! what a layer needs is told: the path, the type, the size; the content is read from the archive itself.

use std::io::{self, Read};

use tar::{EntryType, Header};

/// The longest PAX record set or long name, in bytes.
const LARGEST_EXTENSION: u64 = 1 << 20;

const BLOCK: u64 = 512;

/// An entry whose content comes next.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The path as it stands there.
    pub(crate) path: Vec<u8>,
    /// What it is.
    pub(crate) kind: EntryType,
    /// The length of its content in bytes.
    pub(crate) size: u64,
    /// Whether its content has the holes left out in a way that is GNU's own.
    pub(crate) gnu_sparse: bool,
}

/// The archive.
pub(crate) struct Tarball<R> {
    archive: R,
    /// What is left of the current entry, padding included.
    left: u64,
    /// Of which padding.
    padding: u64,
}

impl<R: Read> Tarball<R> {
    pub(crate) fn new(archive: R) -> Self {
        Self { archive, left: 0, padding: 0 }
    }

    /// The next entry; the rest of the one before is skipped. None at the archive's end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut long_name = None;
        let mut pax = Pax::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let kind = header.entry_type();
            let size = header.entry_size().map_err(|_| broken("an entry's size is no number"))?;
            self.enter(size)?;
            match kind {
                EntryType::GNULongName => {
                    let mut name = self.extension(size)?;
                    name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                    long_name = Some(name);
                }
                EntryType::XHeader => pax = Pax::parse(&self.extension(size)?)?,
                EntryType::GNULongLink | EntryType::XGlobalHeader => drop(self.extension(size)?),
                _ => {
                    if let Some(size) = pax.size {
                        self.enter(size)?;
                    }
                    return Ok(Some(Entry {
                        path: pax.path.or(long_name).unwrap_or_else(|| header.path_bytes().into_owned()),
                        kind,
                        size: pax.size.unwrap_or(size),
                        gnu_sparse: pax.sparse || kind == EntryType::GNUSparse,
                    }));
                }
            }
        }
    }

    /// Reads on to the end of what follows the archive, so that a digest is over everything.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.archive, &mut io::sink()).map(drop)
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut block = [0; 512];
        match self.archive.read(&mut block[..1])? {
            // Some writers leave out the blocks of zeros at the end, but none leaves the archive empty.
            0 => return Ok(None),
            _ => self.archive.read_exact(&mut block[1..])?,
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let header = Header::from_byte_slice(&block).clone();
        let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        if header.cksum().ok() != Some(sum) {
            return Err(broken("a header's checksum is wrong"));
        }
        Ok(Some(header))
    }

    fn enter(&mut self, size: u64) -> io::Result<()> {
        let padded =
            size.checked_next_multiple_of(BLOCK).ok_or_else(|| broken("an entry's size is absurd"))?;
        self.left = padded;
        self.padding = padded - size;
        Ok(())
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > LARGEST_EXTENSION {
            return Err(broken("a name or a record set is longer than 1 MiB"));
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn skip(&mut self) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.archive).take(self.left), &mut io::sink())?;
        let short = skipped < self.left;
        self.left = 0;
        self.padding = 0;
        if short { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// The content of the current entry.
impl<R: Read> Read for Tarball<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = self.left - self.padding;
        let most = usize::try_from(content).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.archive.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// The PAX records that matter.
#[derive(Default)]
struct Pax {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

impl Pax {
    /// Records are `LENGTH KEY=VALUE\n`, where the length counts all of it.
    fn parse(mut text: &[u8]) -> io::Result<Self> {
        let bad = || broken("a PAX record is malformed");
        let mut pax = Self::default();
        while !text.is_empty() {
            let space = text.iter().take(20).position(|b| *b == b' ').ok_or_else(bad)?;
            let length: usize =
                std::str::from_utf8(&text[..space]).ok().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
            let record = text.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(bad)?;
            let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => pax.path = Some(value.to_vec()),
                b"size" => {
                    let size =
                        std::str::from_utf8(value).ok().and_then(|n| n.parse().ok()).ok_or_else(bad)?;
                    pax.size = Some(size);
                }
                _ if key.starts_with(b"GNU.sparse.") => pax.sparse = true,
                _ => {}
            }
            text = &text[length..];
        }
        Ok(pax)
    }
}

fn broken(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it is no tar archive, or a damaged one: {why}"))
}

//! What a checker keeps of each host.

/// One value per host, made when it is first asked for.
#[derive(Debug)]
pub(super) struct PerHost<T>(Vec<T>);

impl<T> Default for PerHost<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerHost<T> {
    /// Returns the value of a host.
    pub(super) fn of(&mut self, host: usize) -> &mut T {
        if self.0.len() <= host {
            self.0.resize_with(host + 1, T::default);
        }
        &mut self.0[host]
    }

    /// Returns the value of a host, if one was made.
    pub(super) fn get(&self, host: usize) -> Option<&T> {
        self.0.get(host)
    }
}

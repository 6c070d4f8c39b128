"""Query encoder of the GloVe setting: word vectors and a character convolution.

Reproduces the `word_embedding*` modules of HuiGuanLab/IMG (from VSLNet).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.img.blocks import PointwiseLinear
from models.systems.img.vocabulary import N_SPECIAL, PAD_ID

CHAR_CHANNELS = (10, 20, 30, 40)  # of the convolutions over 1, 2, 3 and 4 characters


class WordEmbedding(nn.Module):
    """Frozen word vectors, a zero padding vector and a learned vector for unknown words."""

    def __init__(self, n_words: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("pad_vec", torch.zeros(1, dim))
        self.unk_vec = nn.Parameter(torch.empty(1, dim))
        self.register_buffer("glove_vec", torch.zeros(n_words, dim))

    def forward(self, word_ids: Tensor) -> Tensor:
        """Map int64 (B, L) to (B, L, word_dim)."""
        table = torch.cat([self.pad_vec, self.unk_vec, self.glove_vec])
        return F.embedding(word_ids, table, padding_idx=PAD_ID)


class CharEmbedding(nn.Module):
    """Character embedding, convolutions of widths 1 to 4 and the maximum over the word.

    `mask_padding` False reproduces the published numbers: windows on padded characters take part in the maximum, so a
    word's vector depends on the longest word of the batch, which must have at least four characters. True: every
    window that starts on a character of the word takes part, and nothing else.
    """

    def __init__(self, n_chars: int, dim: int, dropout: float, mask_padding: bool) -> None:
        super().__init__()
        self.mask_padding = mask_padding
        self.char_emb = nn.Embedding(n_chars, dim, padding_idx=PAD_ID)
        # One-element lists: the published names end in `.0`.
        self.char_convs = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(dim, channels, kernel_size=(1, width))])
            for width, channels in enumerate(CHAR_CHANNELS, start=1)
        )
        self.drop = Dropout(dropout)

    def forward(self, char_ids: Tensor) -> Tensor:
        """Map int64 (B, L, W) to (B, L, 100)."""
        n_words, n_chars = char_ids.shape[0] * char_ids.shape[1], char_ids.shape[2]
        x = self.drop(self.char_emb(char_ids)).view(n_words, n_chars, -1).transpose(1, 2)
        valid = (char_ids != PAD_ID).view(n_words, 1, n_chars)
        outputs = []
        for (conv,) in self.char_convs:
            width = conv.kernel_size[1]
            windows = F.pad(x, (0, width - 1)) if self.mask_padding else x
            y = F.relu(F.conv1d(windows, conv.weight.squeeze(2), conv.bias))
            # ReLU outputs are not negative: zero is as good as absent.
            outputs.append((y * valid if self.mask_padding else y).amax(2))
        return torch.cat(outputs, dim=1).view(*char_ids.shape[:2], -1)


class WordCharEmbedding(nn.Module):
    """Word and character vectors of every token, concatenated and projected."""

    def __init__(
        self, vocabulary_sizes: tuple[int, int], embedding_dims: tuple[int, int], dim: int, dropout: float, mask: bool
    ) -> None:
        """`vocabulary_sizes`: known words and characters, without special ids; `embedding_dims`: their widths."""
        super().__init__()
        (n_words, n_chars), (word_dim, char_dim) = vocabulary_sizes, embedding_dims
        self.word_emb = WordEmbedding(n_words, word_dim)
        self.char_emb = CharEmbedding(n_chars + N_SPECIAL, char_dim, dropout, mask)
        self.linear = PointwiseLinear(word_dim + sum(CHAR_CHANNELS), dim)
        self.drop = Dropout(dropout)

    def forward(self, word_ids: Tensor, char_ids: Tensor) -> Tensor:
        """Map int64 (B, L) and (B, L, W) to (B, L, D)."""
        return self.linear(torch.cat([self.drop(self.word_emb(word_ids)), self.char_emb(char_ids)], dim=2))
